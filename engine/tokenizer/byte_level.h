// GPT-2's reversible map from bytes to printable characters, in which byte-level vocabularies are
// written (Radford et al. 2019, encoder.py): printable Latin-1 bytes stand for themselves, the
// other 68 for U+0100 and up.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace skipbench {

// Character that stands for `byte`; at most U+0143, that is two UTF-8 bytes.
char32_t byte_level_character(uint8_t byte);

// Byte that `character` stands for, or -1.
int byte_level_byte(char32_t character);

std::string byte_level_encode(std::string_view bytes);

// Inverse of byte_level_encode. A token with any other character is returned as it is: Hugging
// Face's ByteLevel decoder does so for added tokens.
std::string byte_level_decode(std::string_view token);

}  // namespace skipbench
