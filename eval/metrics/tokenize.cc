#include "eval/metrics/tokenize.h"

#include "engine/base/error.h"
#include "eval/metrics/unicode.h"

namespace skipbench {
namespace {

constexpr TokenizerEntry kTokenizers[] = {
    {"13a", tokenize_13a},   {"zh", tokenize_zh},     {"intl", tokenize_intl},
    {"char", tokenize_char}, {"none", tokenize_none},
};

}  // namespace

void split_tokens(TokenList* out) {
  out->tokens.clear();
  const std::string_view text = out->text;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const unsigned char byte = text[at];
    // Only these bytes can start white space: controls and blank, U+0085/A0, U+1680, U+2000-3000.
    const bool maybe_space = byte < ' ' || byte == 0xC2 || (byte >= 0xE1 && byte <= 0xE3);
    const size_t bytes = byte == ' ' ? 1 : maybe_space ? space_bytes(text.substr(at)) : 0;
    if (bytes == 0) {
      ++at;
      continue;
    }
    if (at > start) out->tokens.push_back(text.substr(start, at - start));
    at += bytes;
    start = at;
  }
  if (start < text.size()) out->tokens.push_back(text.substr(start));
}

std::span<const TokenizerEntry> tokenizer_table() { return kTokenizers; }

Tokenizer find_tokenizer(std::string_view name, const std::string& where) {
  std::vector<std::string> known;
  for (const TokenizerEntry& entry : kTokenizers) {
    if (entry.name == name) return entry.tokenize;
    known.emplace_back(entry.name);
  }
  throw unknown_name("tokenizer", name, known, where);
}

}  // namespace skipbench
