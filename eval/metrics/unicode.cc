#include "eval/metrics/unicode.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace skipbench {
namespace {

// What a character beside a capital sigma says about it (Unicode's Final_Sigma condition).
enum class SigmaContext : uint8_t { kOther, kCased, kIgnorable };

template <typename Kind>
struct KindRange {
  char32_t first, last;
  Kind kind;
};

// Upper case code points first, first + step, ..., last; the lower case is `delta` further.
struct LowerRange {
  char32_t first, last;
  int step, delta;
};

#include "eval/metrics/unicode_tables.inc"

// The range that holds `code_point`, or null; ranges are ascending and disjoint.
template <typename Range, size_t kSize>
const Range* find_range(const Range (&ranges)[kSize], char32_t code_point) {
  auto after = std::upper_bound(std::begin(ranges), std::end(ranges), code_point,
                                [](char32_t c, const Range& range) { return c < range.first; });
  if (after == std::begin(ranges)) return nullptr;
  const Range& range = *std::prev(after);
  return code_point <= range.last ? &range : nullptr;
}

constexpr bool is_ascii_letter(char32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

constexpr std::array<CharClass, 128> ascii_classes() {
  std::array<CharClass, 128> classes{};
  for (char32_t c = 0x21; c < 0x7F; ++c) {
    if (is_ascii_letter(c)) continue;
    if (c >= '0' && c <= '9') {
      classes[c] = CharClass::kNumber;
    } else {
      const bool symbol =
          std::string_view("$+<=>^`|~").find(static_cast<char>(c)) != std::string_view::npos;
      classes[c] = symbol ? CharClass::kSymbol : CharClass::kPunctuation;
    }
  }
  return classes;
}
constexpr std::array<CharClass, 128> kAsciiClasses = ascii_classes();

SigmaContext sigma_context(char32_t c) {
  if (c < 0x80) {
    if (is_ascii_letter(c)) return SigmaContext::kCased;
    const bool ignorable = c == '\'' || c == '.' || c == ':' || c == '^' || c == '`';
    return ignorable ? SigmaContext::kIgnorable : SigmaContext::kOther;
  }
  const auto* range = find_range(kSigmaContexts, c);
  return range ? range->kind : SigmaContext::kOther;
}

// Whether the capital sigma text[begin, end) ends a word and so becomes U+03C2.
bool is_final_sigma(std::string_view text, size_t begin, size_t end) {
  SigmaContext before = SigmaContext::kOther;
  for (size_t at = begin; at > 0;) {
    at = previous_start(text, at);
    size_t after = at;
    before = sigma_context(next_code_point(text, &after));
    if (before != SigmaContext::kIgnorable) break;
  }
  if (before != SigmaContext::kCased) return false;
  for (size_t at = end; at < text.size();) {
    const SigmaContext after = sigma_context(next_code_point(text, &at));
    if (after != SigmaContext::kIgnorable) return after != SigmaContext::kCased;
  }
  return true;
}

void append_lower(char32_t c, std::string* out) {
  if (c == 0x130) {  // I with a dot above: the only character whose lower case is longer
    out->append("i\u0307");
    return;
  }
  if (const auto* range = find_range(kLower, c)) {
    if ((c - range->first) % range->step == 0) c += range->delta;
  }
  append_utf8(c, out);
}

}  // namespace

std::string lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const unsigned char byte = text[at];
    if (byte < 0x80) {
      out.push_back(byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + 32) : text[at]);
      ++at;
      continue;
    }
    const size_t start = at;
    const char32_t c = next_code_point(text, &at);
    if (c == 0x3A3 && is_final_sigma(text, start, at)) {
      out.append("\u03C2");
    } else {
      append_lower(c, &out);
    }
  }
  return out;
}

CharClass char_class(char32_t c) {
  if (c < 0x80) return kAsciiClasses[c];
  const auto* range = find_range(kCharClasses, c);
  return range ? range->kind : CharClass::kOther;
}

}  // namespace skipbench
