// Unicode as the Python references of our metrics see it, beyond engine/base/utf8.h: lower case and
// the character classes of sacreBLEU's `intl` tokenizer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/utf8.h"

namespace skipbench {

// Python's str.lower(), the final sigma rule included.
std::string lower(std::string_view text);

// General categories that start with N, P and S; everything else is kOther.
enum class CharClass : uint8_t { kOther, kNumber, kPunctuation, kSymbol };
CharClass char_class(char32_t code_point);

}  // namespace skipbench
