#include "engine/tokenizer/bpe_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/error.h"
#include "engine/tokenizer/merge.h"
#include "engine/tokenizer/spm_text.h"
#include "engine/tokenizer/utf8.h"

namespace skipbench {
namespace {

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

void BpeModel::add_token(std::string text, int32_t id) { ids_.emplace(std::move(text), id); }

std::optional<int32_t> BpeModel::find(std::string_view text) const {
  const auto entry = ids_.find(text);
  if (entry == ids_.end()) return std::nullopt;
  return entry->second;
}

void BpeModel::add_merge(std::string_view left, std::string_view right, const std::string& where) {
  const auto id_of = [&](const std::string& text) {
    const std::optional<int32_t> id = find(text);
    if (!id) {
      throw Error({.what = fmt::format("merge '{} {}' needs '{}', which is not in the vocabulary",
                                       left, right, text),
                   .where = where});
    }
    return *id;
  };
  const uint64_t key = pair_key(id_of(std::string(left)), id_of(std::string(right)));
  const int32_t merged = id_of(std::string(left) + std::string(right));
  // A pair that is listed twice has the rank of its last place, as in Hugging Face's table.
  merges_[key] = {static_cast<int32_t>(merge_count_++), merged};
}

bool BpeModel::fall_back_to_bytes(std::string_view character, uint32_t begin,
                                  std::vector<Symbol>* symbols) const {
  if (!options_.byte_fallback) return false;
  const size_t before = symbols->size();
  for (size_t i = 0; i < character.size(); ++i) {
    const auto id = find(spm_byte_token(static_cast<unsigned char>(character[i])));
    if (!id) {
      symbols->resize(before);
      return false;
    }
    const auto at = static_cast<uint32_t>(begin + i);
    symbols->push_back({*id, at, at + 1});
  }
  return true;
}

void BpeModel::encode_word(std::string_view word, std::vector<int32_t>* ids) const {
  if (options_.ignore_merges) {
    if (const std::optional<int32_t> whole = find(word)) return ids->push_back(*whole);
  }
  std::vector<Symbol> symbols;
  bool after_unknown = false;
  for (size_t at = 0; at < word.size();) {
    const int bytes = std::max(first_character(word.substr(at)).bytes, 1);
    const std::string_view character = word.substr(at, bytes);
    const auto begin = static_cast<uint32_t>(at);
    const auto end = static_cast<uint32_t>(at + bytes);
    at = end;
    bool known = true;
    if (const std::optional<int32_t> id = find(character)) {
      symbols.push_back({*id, begin, end});
    } else if (!fall_back_to_bytes(character, begin, &symbols)) {
      known = false;
      if (!options_.unk_id) continue;
      if (options_.fuse_unk && after_unknown) {
        symbols.back().end = end;
      } else {
        symbols.push_back({*options_.unk_id, begin, end});
      }
    }
    after_unknown = !known;
  }
  merge_symbols(&symbols, [this](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
    const auto entry = merges_.find(pair_key(left.id, right.id));
    if (entry == merges_.end()) return std::nullopt;
    return Merge{static_cast<double>(entry->second.rank), entry->second.id};
  });
  for (const Symbol& symbol : symbols) ids->push_back(symbol.id);
}

}  // namespace skipbench
