// Unicode as the Python references of our metrics see it: UTF-8 decoding, white space, lower case
// and the character classes of sacreBLEU's `intl` tokenizer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace skipbench {

constexpr char32_t kReplacementCharacter = 0xFFFD;

// Decodes the code point at `*position` (must be < text.size()) and moves past it. Invalid UTF-8
// gives U+FFFD once per maximal bad part, as Python's decode(errors="replace") does.
char32_t next_code_point(std::string_view text, size_t* position);

void append_utf8(char32_t code_point, std::string* text);

// Byte offset of the first invalid sequence, or npos.
size_t find_invalid_utf8(std::string_view text);

// Bytes of the white space character (str.isspace() in Python) at the start of `text`, or 0.
size_t space_bytes(std::string_view text);

// Python's str.strip() and str.rstrip().
std::string_view strip(std::string_view text);
std::string_view rstrip(std::string_view text);

// Python's str.lower(), the final sigma rule included.
std::string lower(std::string_view text);

// General categories that start with N, P and S; everything else is kOther.
enum class CharClass : uint8_t { kOther, kNumber, kPunctuation, kSymbol };
CharClass char_class(char32_t code_point);

}  // namespace skipbench
