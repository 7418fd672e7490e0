#include "engine/tokenizer/spm_text.h"

#include <fmt/format.h>

#include <charconv>

namespace skipbench {

int spm_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  int byte = -1;
  const char* end = token.data() + 5;
  const auto result = std::from_chars(token.data() + 3, end, byte, 16);
  return result.ec == std::errc() && result.ptr == end ? byte : -1;
}

std::string spm_byte_token(unsigned char byte) { return fmt::format("<0x{:02X}>", byte); }

std::string spm_token_bytes(std::string_view token) {
  if (const int byte = spm_byte(token); byte >= 0) return std::string(1, static_cast<char>(byte));
  std::string out;
  for (size_t at = 0; at < token.size();) {
    if (token.substr(at).starts_with(kSpmBlank)) {
      out += ' ';
      at += kSpmBlank.size();
    } else {
      out += token[at++];
    }
  }
  return out;
}

std::string spm_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ') {
      out += kSpmBlank;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace skipbench
