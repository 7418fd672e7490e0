// UTF-8 and white space as the tokenizers, the metrics and the loaders need them.
#pragma once

#include <cstddef>
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

// Decodes the code point at `*position` (must be < text.size()) and moves past it. Invalid UTF-8
// gives U+FFFD once per maximal bad part, as Python's decode(errors="replace") does.
char32_t next_code_point(std::string_view text, size_t* position);

// Byte offset at which the character that ends just before `end` (> 0) starts; one byte back in
// invalid text.
size_t previous_start(std::string_view text, size_t end);

void append_utf8(char32_t code_point, std::string* text);

// Byte offset of the first invalid sequence, or npos.
size_t find_invalid_utf8(std::string_view text);

// Bytes of the white space character (str.isspace() in Python) at the start of `text`, or 0.
size_t space_bytes(std::string_view text);

// Python's str.strip() and str.rstrip().
std::string_view strip(std::string_view text);
std::string_view rstrip(std::string_view text);

}  // namespace skipbench
