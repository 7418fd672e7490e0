// UTF-8 as the tokenizers need it: valid runs, replacement of what is not valid, and NFC.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace skipbench {

constexpr char32_t kReplacementCharacter = 0xFFFD;

struct Utf8Character {
  char32_t code_point = 0;
  int bytes = 0;  // 0: the text does not begin with a valid sequence
};

// First character of `text`. Strict (RFC 3629): no overlong forms, surrogates or values beyond
// U+10FFFF.
Utf8Character first_character(std::string_view text);

void append_utf8(char32_t code_point, std::string* out);

// Calls `run(bytes, is_valid)` for the maximal valid and invalid runs of `text`, in order.
void for_each_utf8_run(std::string_view text,
                       const std::function<void(std::string_view, bool)>& run);

// Every byte outside a valid sequence becomes one U+FFFD, as sentencepiece's normalizer does it.
std::string replace_invalid_utf8(std::string_view text);
bool is_valid_utf8(std::string_view text);

// Unicode white space (property White_Space) and word characters (letters, marks, decimal digits,
// connectors), as the `\s` and `\w` of Hugging Face tokenizers mean them.
bool is_white_space(char32_t code_point);
bool is_word_character(char32_t code_point);

// Canonical composition (UAX #15) of valid UTF-8.
std::string normalize_nfc(std::string_view text);

}  // namespace skipbench
