#include "engine/tokenizer/utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

#include "engine/base/error.h"

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

void for_each_utf8_run(std::string_view text,
                       const std::function<void(std::string_view, bool)>& run) {
  size_t begin = 0;
  bool valid = true;
  for (size_t at = 0; at < text.size();) {
    const int bytes = first_character(text.substr(at)).bytes;
    const bool here = bytes > 0;
    if (here != valid && at > begin) {
      run(text.substr(begin, at - begin), valid);
      begin = at;
    }
    valid = here;
    at += std::max(bytes, 1);
  }
  if (begin < text.size()) run(text.substr(begin), valid);
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  for_each_utf8_run(text, [&out](std::string_view bytes, bool valid) {
    if (valid) {
      out += bytes;
    } else {
      for (size_t i = 0; i < bytes.size(); ++i) append_utf8(kReplacementCharacter, &out);
    }
  });
  return out;
}

bool is_valid_utf8(std::string_view text) {
  bool valid = true;
  for_each_utf8_run(text, [&valid](std::string_view, bool run_valid) { valid &= run_valid; });
  return valid;
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_word_character(char32_t code_point) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

std::string normalize_nfc(std::string_view text) {
  // Below U+0300 nothing decomposes differently from how it composes again.
  const bool plain = std::all_of(text.begin(), text.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0xCC; });
  if (plain) return std::string(text);
  utf8proc_uint8_t* composed = nullptr;
  const utf8proc_ssize_t bytes =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &composed,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (bytes < 0) throw Error({.what = "cannot normalise text", .got = utf8proc_errmsg(bytes)});
  std::string out(reinterpret_cast<const char*>(composed), static_cast<size_t>(bytes));
  std::free(composed);
  return out;
}

}  // namespace skipbench
