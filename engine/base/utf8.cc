#include "engine/base/utf8.h"

namespace skipbench {
namespace {

struct SequenceForm {
  int bytes = 0;
  char32_t smallest = 0;  // below it the form is overlong
};

SequenceForm form_of(unsigned char lead) {
  if (lead < 0x80) return {1, 0};
  if (lead >= 0xC2 && lead <= 0xDF) return {2, 0x80};
  if (lead >= 0xE0 && lead <= 0xEF) return {3, 0x800};
  if (lead >= 0xF0 && lead <= 0xF4) return {4, 0x10000};
  return {};
}

}  // namespace

Utf8Character first_character(std::string_view text) {
  if (text.empty()) return {};
  const auto lead = static_cast<unsigned char>(text[0]);
  const SequenceForm form = form_of(lead);
  if (form.bytes == 0 || text.size() < static_cast<size_t>(form.bytes)) return {};
  if (form.bytes == 1) return {lead, 1};
  char32_t code_point = lead & (0x7F >> form.bytes);
  for (int i = 1; i < form.bytes; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0) != 0x80) return {};
    code_point = code_point << 6 | (byte & 0x3F);
  }
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  if (code_point < form.smallest || surrogate || code_point > 0x10FFFF) return {};
  return {code_point, form.bytes};
}

char32_t next_code_point(std::string_view text, size_t* position) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte((*position)++);
  if (lead < 0x80) return lead;
  if (lead < 0xC2 || lead > 0xF4) return kReplacementCharacter;
  const int continuations = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  // The second byte's range rules out overlong forms, surrogates and values above U+10FFFF.
  unsigned char low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  char32_t code_point = lead & (0x3F >> continuations);
  for (int i = 0; i < continuations; ++i) {
    if (*position >= text.size()) return kReplacementCharacter;
    const unsigned char next = byte(*position);
    if (next < low || next > high) return kReplacementCharacter;
    code_point = code_point << 6 | (next & 0x3F);
    ++*position;
    low = 0x80, high = 0xBF;
  }
  return code_point;
}

// Start of the character that ends just before `end` (> 0); one byte back in invalid text.
size_t previous_start(std::string_view text, size_t end) {
  size_t start = end - 1;
  while (start > 0 && end - start < 4 && (text[start] & 0xC0) == 0x80) --start;
  size_t after = start;
  next_code_point(text, &after);
  return after == end ? start : end - 1;
}

void append_utf8(char32_t code_point, std::string* out) {
  const auto put = [out](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
  } else {
    if (code_point < 0x10000) {
      put(0xE0 | code_point >> 12);
    } else {
      put(0xF0 | code_point >> 18);
      put(0x80 | (code_point >> 12 & 0x3F));
    }
    put(0x80 | (code_point >> 6 & 0x3F));
  }
  put(0x80 | (code_point & 0x3F));
}

size_t find_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    if (next_code_point(text, &at) != kReplacementCharacter) continue;
    if (text.substr(start, at - start) != "\uFFFD") return start;
  }
  return std::string_view::npos;
}

// Bidirectional types B, S, WS and category Zs: U+0009-000D, 001C-0020, 0085, 00A0, 1680,
// 2000-200A, 2028, 2029, 202F, 205F and 3000.
size_t space_bytes(std::string_view text) {
  if (text.empty()) return 0;
  const unsigned char lead = text[0];
  if (lead <= 0x20) return (lead >= 0x09 && lead <= 0x0D) || lead >= 0x1C ? 1 : 0;
  if (lead < 0xC2 || lead > 0xE3 || text.size() < 2) return 0;
  const unsigned char second = text[1];
  if (lead == 0xC2) return second == 0x85 || second == 0xA0 ? 2 : 0;
  if (lead < 0xE1 || text.size() < 3) return 0;
  const unsigned char third = text[2];
  bool space = false;
  if (lead == 0xE1) space = second == 0x9A && third == 0x80;
  if (lead == 0xE3) space = second == 0x80 && third == 0x80;
  if (lead == 0xE2 && second == 0x80) {
    space = (third >= 0x80 && third <= 0x8A) || third == 0xA8 || third == 0xA9 || third == 0xAF;
  }
  if (lead == 0xE2 && second == 0x81) space = third == 0x9F;
  return space ? 3 : 0;
}

std::string_view strip(std::string_view text) {
  while (const size_t bytes = space_bytes(text)) text.remove_prefix(bytes);
  return rstrip(text);
}

std::string_view rstrip(std::string_view text) {
  while (!text.empty()) {
    const size_t start = previous_start(text, text.size());
    const size_t bytes = text.size() - start;
    if (space_bytes(text.substr(start)) != bytes) break;
    text.remove_suffix(bytes);
  }
  return text;
}

}  // namespace skipbench
