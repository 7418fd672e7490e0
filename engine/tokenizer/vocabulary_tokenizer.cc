#include "engine/tokenizer/vocabulary_tokenizer.h"

#include <fmt/format.h>

#include <utility>

#include "engine/base/error.h"

namespace skipbench {
namespace {

// Symbols keep 32-bit offsets into text that byte-level characters make up to twice as long.
constexpr size_t kMaxTextBytes = size_t{1} << 30;

}  // namespace

void VocabularyTokenizer::set_token(int32_t id, Token token) {
  if (static_cast<size_t>(id) >= tokens_.size()) tokens_.resize(id + 1);
  token.exists = true;
  tokens_[id] = std::move(token);
}

void VocabularyTokenizer::add_added_token(const AddedToken& token) {
  set_token(token.id, {token.content, token.special});
  added_.add(token);
}

std::vector<int32_t> VocabularyTokenizer::encode(std::span<const TextSegment> segments,
                                                 bool add_special) const {
  const SegmentedText prompt(segments);
  if (prompt.text().size() > kMaxTextBytes) {
    throw Error({.what = "text too long to tokenise",
                 .expected = fmt::format("at most {} bytes", kMaxTextBytes),
                 .got = fmt::format("{}", prompt.text().size())});
  }
  std::vector<int32_t> ids;
  if (add_special) ids = special_.before;
  bool is_first = true;
  for (const AddedTokens::Piece& piece : added_.split(prompt.text(), &prompt)) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
    } else {
      encode_text(piece.text, is_first, &ids);
    }
    is_first = false;
  }
  if (add_special) ids.insert(ids.end(), special_.after.begin(), special_.after.end());
  return ids;
}

const VocabularyTokenizer::Token& VocabularyTokenizer::token(int32_t id) const {
  if (id < 0 || id >= vocab_size() || !tokens_[id].exists) {
    throw Error({.what = "token id outside the vocabulary",
                 .expected = fmt::format("0 to {}", vocab_size() - 1),
                 .got = fmt::format("{}", id)});
  }
  return tokens_[id];
}

std::string VocabularyTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  bool is_first = true;
  for (const int32_t id : ids) {
    const Token& entry = token(id);
    if (entry.special && skip_special) continue;
    std::string_view bytes = entry.bytes;
    const bool strip = strip_first_space_ && is_first && !entry.special && bytes.starts_with(' ');
    if (strip) bytes.remove_prefix(1);
    text += bytes;
    is_first = false;
  }
  return text;
}

}  // namespace skipbench
