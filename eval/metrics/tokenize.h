// sacreBLEU's tokenizers: a line of text into the tokens whose n-grams BLEU counts.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skipbench {

// Tokens of one line and the buffers they lie in; reuse one object for many lines. Not copied or
// moved, because the tokens are views into `text`.
struct TokenList {
  TokenList() = default;
  TokenList(const TokenList&) = delete;
  TokenList& operator=(const TokenList&) = delete;

  std::vector<std::string_view> tokens;
  std::string text;     // spaced text
  std::string scratch;  // text before the last pass
};

// Splits out->text at Python's white space into out->tokens.
void split_tokens(TokenList* out);

// Replaces *out by the tokens of `line` (UTF-8; line feeds inside it are white space).
using Tokenizer = void (*)(std::string_view line, TokenList* out);

void tokenize_13a(std::string_view line, TokenList* out);   // mteval-v13a
void tokenize_zh(std::string_view line, TokenList* out);    // Chinese characters apart
void tokenize_intl(std::string_view line, TokenList* out);  // mteval-v14, international
void tokenize_char(std::string_view line, TokenList* out);  // every character
void tokenize_none(std::string_view line, TokenList* out);  // white space only

// The language-dependent rules that 13a and zh share, applied to out->text, then split_tokens.
void apply_western_rules(TokenList* out);

struct TokenizerEntry {
  std::string_view name;
  Tokenizer tokenize;
};
std::span<const TokenizerEntry> tokenizer_table();

// Throws Error with the known names for an unknown one; `where` is the key path or flag.
Tokenizer find_tokenizer(std::string_view name, const std::string& where = "");

}  // namespace skipbench
