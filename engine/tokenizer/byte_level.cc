#include "engine/tokenizer/byte_level.h"

#include <array>

#include "engine/tokenizer/utf8.h"

namespace skipbench {
namespace {

constexpr int kCharacters = 0x100 + 68;

struct ByteMap {
  std::array<uint16_t, 256> character{};
  std::array<int16_t, kCharacters> byte{};
};

constexpr bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) ||
         (byte >= 0xAE && byte <= 0xFF);
}

constexpr ByteMap make_map() {
  ByteMap map;
  for (int16_t& byte : map.byte) byte = -1;
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const int character = stands_for_itself(byte) ? byte : next++;
    map.character[byte] = static_cast<uint16_t>(character);
    map.byte[character] = static_cast<int16_t>(byte);
  }
  return map;
}

constexpr ByteMap kMap = make_map();

}  // namespace

char32_t byte_level_character(uint8_t byte) { return kMap.character[byte]; }

int byte_level_byte(char32_t character) {
  return character < kCharacters ? kMap.byte[character] : -1;
}

std::string byte_level_encode(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char byte : bytes) append_utf8(kMap.character[static_cast<uint8_t>(byte)], &out);
  return out;
}

std::string byte_level_decode(std::string_view token) {
  std::string out;
  for (size_t at = 0; at < token.size();) {
    const Utf8Character character = first_character(token.substr(at));
    const int byte = character.bytes > 0 ? byte_level_byte(character.code_point) : -1;
    if (byte < 0) return std::string(token);
    out.push_back(static_cast<char>(byte));
    at += character.bytes;
  }
  return out;
}

}  // namespace skipbench
