// tercom's normalisation as sacreBLEU 2.6 writes it. All classes of the Western part are ASCII, so
// that working on bytes gives what working on characters gives.
#include "eval/metrics/ter.h"
#include "eval/metrics/tokenize_rules.h"
#include "eval/metrics/unicode.h"

namespace skipbench {
namespace {

struct CodePointRange {
  char32_t first, last;
};

// Chinese and Japanese characters that become words of their own. sacreBLEU's rules for runs of
// kana can only match a whole line without the blanks around it, which never occurs.
constexpr CodePointRange kAsianCharacters[] = {
    {0x4E00, 0x9FFF}, {0x3400, 0x4DBF}, {0x31C0, 0x31EF}, {0x2E80, 0x2EFF}, {0x3300, 0x33FF},
    {0xF900, 0xFAFF}, {0xFE30, 0xFE4F}, {0x3200, 0x3F22},  // the last as in sacreBLEU
};
constexpr CodePointRange kAsianPunctuation[] = {
    {0x3001, 0x3002}, {0x3008, 0x3011}, {0x3014, 0x301F}, {0xFF61, 0xFF65},
    {0x30FB, 0x30FB}, {0xFF0E, 0xFF0E}, {0xFF0C, 0xFF0C}, {0xFF1F, 0xFF1F},
    {0xFF1A, 0xFF1B}, {0xFF01, 0xFF02}, {0xFF08, 0xFF09},
};

template <size_t kSize>
bool in_ranges(char32_t c, const CodePointRange (&ranges)[kSize]) {
  for (const CodePointRange& range : ranges) {
    if (c >= range.first && c <= range.last) return true;
  }
  return false;
}

void normalize_western(TokenList* out) {
  std::string& text = out->text;
  const auto replace = [&](std::string_view what, std::string_view with) {
    replace_all(&text, &out->scratch, what, with);
  };
  replace("\n-", "");
  replace("\n", " ");
  replace("&quot;", "\"");
  replace("&amp;", "&");
  replace("&lt;", "<");
  replace("&gt;", ">");
  separate_punctuation(text, &out->scratch);
  text.assign(1, ' ').append(out->scratch).push_back(' ');
  replace("'s ", " 's ");
  space_stops_and_dashes(out);
}

// Puts blanks around the characters that `chosen` names, or drops them.
template <typename Chosen>
void separate_or_drop(TokenList* out, bool drop, Chosen chosen) {
  out->scratch.clear();
  const std::string_view text = out->text;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    if (!chosen(next_code_point(text, &at))) {
      out->scratch.append(text, start, at - start);
    } else if (!drop) {
      out->scratch.append(" ").append(text, start, at - start).append(" ");
    }
  }
  out->text.swap(out->scratch);
}

bool is_western_punctuation(char32_t c) {
  return c < 0x80 &&
         std::string_view(".,?:;!\"()").find(static_cast<char>(c)) != std::string_view::npos;
}

}  // namespace

void tokenize_ter(std::string_view line, const TerSettings& settings, TokenList* out) {
  out->text = rstrip(line);
  if (!settings.case_sensitive) out->text = lower(out->text);
  if (settings.normalized && !out->text.empty()) {
    normalize_western(out);
    if (settings.asian_support) {
      separate_or_drop(out, false, [](char32_t c) {
        return in_ranges(c, kAsianCharacters) || in_ranges(c, kAsianPunctuation);
      });
    }
  }
  if (settings.no_punctuation) {
    separate_or_drop(out, true, [&](char32_t c) {
      return is_western_punctuation(c) ||
             (settings.asian_support && in_ranges(c, kAsianPunctuation));
    });
  }
  split_tokens(out);
}

}  // namespace skipbench
