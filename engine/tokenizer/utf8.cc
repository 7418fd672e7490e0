#include "engine/tokenizer/utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

#include "engine/base/error.h"

namespace skipbench {
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
