#include "engine/base/printable.h"

#include <fmt/format.h>

#include "engine/base/utf8.h"

namespace skipbench {
namespace {

bool is_control(char32_t code_point) {
  if (code_point == '\n' || code_point == '\t') return false;
  return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character character = first_character(text);
    const size_t bytes = character.bytes == 0 ? 1 : static_cast<size_t>(character.bytes);
    if (character.bytes == 0 || is_control(character.code_point)) {
      for (const char byte : text.substr(0, bytes)) {
        shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
      }
    } else {
      shown += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return shown;
}

}  // namespace skipbench
