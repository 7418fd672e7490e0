// sacreBLEU's Chinese tokenization (after Shujian Huang): every Chinese character stands alone,
// the rest follows the Western rules.
#include <algorithm>
#include <iterator>

#include "eval/metrics/tokenize.h"
#include "eval/metrics/unicode.h"

namespace skipbench {
namespace {

struct Range {
  char32_t first, last;
};

// What sacreBLEU 2.6 really splits. Two of its ranges are written as two-character strings
// ("\u20000" is U+2000 and a zero), so that they mean U+2001-2A6D and U+2F81-2FA1 instead of
// the planes above U+FFFF: curly quotes, dashes and the ellipsis stand alone, U+20000 does not.
constexpr Range kChinese[] = {
    {0x2001, 0x2A6D},  // meant: CJK Unified Ideographs Extension B
    {0x2E80, 0x2EFF},  // CJK Radicals Supplement
    {0x2F00, 0x2FDF},  // Kangxi Radicals (and the slip of the Compatibility Supplement)
    {0x2FF0, 0x2FFF},  // Ideographic Description Characters
    {0x3000, 0x303F},  // CJK punctuation
    {0x3100, 0x312F},  // Bopomofo
    {0x31A0, 0x31BF},  // Bopomofo Extended
    {0x31C0, 0x31EF},  // CJK Strokes
    {0x3200, 0x33FF},  // enclosed and compatibility forms
    {0x3400, 0x4DB5},  // CJK Unified Ideographs Extension A
    {0x4E00, 0x9FBB},  // CJK Unified Ideographs
    {0xF900, 0xFA2D},  // CJK Compatibility Ideographs
    {0xFA30, 0xFA6A}, {0xFA70, 0xFAD9}, {0xFE10, 0xFE1F},  // vertical forms
    {0xFE30, 0xFE4F},                                      // CJK Compatibility Forms
    {0xFF00, 0xFFEF},                                      // half and full width forms
};

bool is_chinese(char32_t c) {
  const auto* after =
      std::upper_bound(std::begin(kChinese), std::end(kChinese), c,
                       [](char32_t x, const Range& range) { return x < range.first; });
  return after != std::begin(kChinese) && c <= std::prev(after)->last;
}

}  // namespace

void tokenize_zh(std::string_view line, TokenList* out) {
  line = strip(line);
  out->text.clear();
  for (size_t at = 0; at < line.size();) {
    const size_t start = at;
    const bool chinese = is_chinese(next_code_point(line, &at));
    if (chinese) out->text.push_back(' ');
    out->text.append(line, start, at - start);
    if (chinese) out->text.push_back(' ');
  }
  apply_western_rules(out);
}

}  // namespace skipbench
