// How sentencepiece writes tokens: U+2581 for a blank, <0x00> ... <0xFF> for single bytes.
#pragma once

#include <string>
#include <string_view>

namespace skipbench {

constexpr std::string_view kSpmBlank = "\u2581";

// Byte that "<0xHH>" stands for, or -1 for any other token.
int spm_byte(std::string_view token);

std::string spm_byte_token(unsigned char byte);

// What `token` decodes to.
std::string spm_token_bytes(std::string_view token);

// `text` with its blanks as U+2581.
std::string spm_escape(std::string_view text);

}  // namespace skipbench
