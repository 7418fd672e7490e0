#include "engine/tokenizer/spm_tokenizer.h"

#include <algorithm>
#include <utility>

#include "engine/tokenizer/merge.h"
#include "engine/tokenizer/spm_text.h"
#include "engine/tokenizer/utf8.h"

namespace skipbench {

SpmTokenizer::SpmTokenizer(SpmParts parts)
    : add_space_prefix_(parts.add_space_prefix), byte_ids_(256, -1) {
  special_ = std::move(parts.special);
  strip_first_space_ = add_space_prefix_;
  piece_text_.reserve(parts.entries.size());  // pieces_ keeps views of its strings
  for (size_t i = 0; i < parts.entries.size(); ++i) {
    SpmParts::Entry& entry = parts.entries[i];
    const auto id = static_cast<int32_t>(i);
    const bool special = entry.type == TokenType::kControl || entry.type == TokenType::kUnknown;
    if (special || entry.type == TokenType::kUserDefined) {
      add_added_token({.id = id, .content = entry.text, .special = special});
      if (entry.type == TokenType::kUnknown && unknown_id_ < 0) unknown_id_ = id;
      continue;
    }
    set_token(id, {spm_token_bytes(entry.text)});
    const int byte = spm_byte(entry.text);
    if (entry.type == TokenType::kByte && byte >= 0) {
      byte_ids_[byte] = id;
    } else if (entry.type == TokenType::kNormal) {
      piece_text_.push_back(std::move(entry.text));
      pieces_.emplace(piece_text_.back(), Scored{id, entry.score});
    }
  }
}

void SpmTokenizer::append_bytes(std::string_view character, std::vector<int32_t>* ids) const {
  const bool all = std::all_of(character.begin(), character.end(), [this](char byte) {
    return byte_ids_[static_cast<uint8_t>(byte)] >= 0;
  });
  if (!all) {
    if (unknown_id_ >= 0) ids->push_back(unknown_id_);
    return;
  }
  for (const char byte : character) ids->push_back(byte_ids_[static_cast<uint8_t>(byte)]);
}

void SpmTokenizer::encode_text(std::string_view text, bool, std::vector<int32_t>* ids) const {
  std::string escaped = spm_escape(replace_invalid_utf8(text));
  if (add_space_prefix_) escaped.insert(0, kSpmBlank);
  const std::string_view whole = escaped;
  std::vector<Symbol> symbols;
  for (size_t at = 0; at < whole.size();) {
    const size_t end = at + first_character(whole.substr(at)).bytes;
    const auto piece = pieces_.find(whole.substr(at, end - at));
    symbols.push_back({piece == pieces_.end() ? -1 : piece->second.id, static_cast<uint32_t>(at),
                       static_cast<uint32_t>(end)});
    at = end;
  }
  merge_symbols(&symbols, [&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
    const auto piece = pieces_.find(whole.substr(left.begin, right.end - left.begin));
    if (piece == pieces_.end()) return std::nullopt;
    return Merge{-piece->second.score, piece->second.id};  // the best score first
  });
  for (const Symbol& symbol : symbols) {
    if (symbol.id >= 0) {
      ids->push_back(symbol.id);
    } else {
      append_bytes(whole.substr(symbol.begin, symbol.end - symbol.begin), ids);
    }
  }
}

}  // namespace skipbench
