#include "eval/metrics/tokenize_rules.h"

#include <array>

namespace skipbench {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_stop(char c) { return c == '.' || c == ','; }

// [\{-\~\[-\` -\&\(-\+\:-\@\/]: ASCII punctuation but for ' , - .
constexpr std::array<bool, 256> punctuation_table() {
  std::array<bool, 256> table{};
  constexpr std::string_view kRanges[] = {"{~", "[`", " &", "(+", ":@", "//"};
  for (const std::string_view range : kRanges) {
    for (int c = range[0]; c <= range[1]; ++c) table[c] = true;
  }
  return table;
}
constexpr std::array<bool, 256> kPunctuation = punctuation_table();

// Replaces every pair (a, b) with first(a) && second(b), taken from the left without overlap, by
// the two characters with blanks where asked for.
template <typename First, typename Second>
void space_pairs(std::string_view in, First first, Second second, bool before, bool between,
                 bool after, std::string* out) {
  out->clear();
  size_t copied = 0;
  for (size_t i = 0; i + 1 < in.size(); ++i) {
    // No short cut: one branch that is rarely taken is faster than two.
    if (!(first(in[i]) & second(in[i + 1]))) continue;
    out->append(in, copied, i - copied);
    if (before) out->push_back(' ');
    out->push_back(in[i]);
    if (between) out->push_back(' ');
    out->push_back(in[i + 1]);
    if (after) out->push_back(' ');
    copied = i + 2;
    ++i;
  }
  out->append(in, copied);
}

}  // namespace

void separate_punctuation(std::string_view in, std::string* out) {
  out->clear();
  size_t copied = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    if (!kPunctuation[static_cast<unsigned char>(in[i])]) continue;
    out->append(in, copied, i - copied).append({' ', in[i], ' '});
    copied = i + 1;
  }
  out->append(in, copied);
}

void replace_all(std::string* text, std::string* scratch, std::string_view what,
                 std::string_view with) {
  size_t at = text->find(what);
  if (at == std::string::npos) return;
  scratch->clear();
  size_t copied = 0;
  for (; at != std::string::npos; at = text->find(what, copied)) {
    scratch->append(*text, copied, at - copied).append(with);
    copied = at + what.size();
  }
  scratch->append(*text, copied);
  text->swap(*scratch);
}

void space_stops_and_dashes(TokenList* out) {
  const auto not_digit = [](char c) { return !is_digit(c); };
  const auto is_dash = [](char c) { return c == '-'; };
  space_pairs(out->text, not_digit, is_stop, false, true, true, &out->scratch);
  space_pairs(out->scratch, is_stop, not_digit, true, true, false, &out->text);
  space_pairs(out->text, is_digit, is_dash, false, true, true, &out->scratch);
  out->text.swap(out->scratch);
}

}  // namespace skipbench
