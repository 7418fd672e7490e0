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

// Start of the character that ends just before `end` (> 0); one byte back in invalid text.
size_t previous_start(std::string_view text, size_t end) {
  size_t start = end - 1;
  while (start > 0 && end - start < 4 && (text[start] & 0xC0) == 0x80) --start;
  size_t after = start;
  next_code_point(text, &after);
  return after == end ? start : end - 1;
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

void append_utf8(char32_t c, std::string* text) {
  const auto continuation = [](char32_t bits) { return static_cast<char>(0x80 | (bits & 0x3F)); };
  if (c < 0x80) {
    text->push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    text->push_back(static_cast<char>(0xC0 | c >> 6));
    text->push_back(continuation(c));
  } else if (c < 0x10000) {
    text->push_back(static_cast<char>(0xE0 | c >> 12));
    text->push_back(continuation(c >> 6));
    text->push_back(continuation(c));
  } else {
    text->push_back(static_cast<char>(0xF0 | c >> 18));
    text->push_back(continuation(c >> 12));
    text->push_back(continuation(c >> 6));
    text->push_back(continuation(c));
  }
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
