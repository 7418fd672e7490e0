// mteval-v14's international tokenization as sacreBLEU 2.6 has it: three substitutions over
// Unicode's classes of punctuation (P), symbols (S) and numbers (N).
#include "eval/metrics/tokenize.h"
#include "eval/metrics/unicode.h"

namespace skipbench {
namespace {

struct Char {
  char32_t code_point;
  CharClass kind;
};

constexpr Char kBlank = {' ', CharClass::kOther};

bool is_number(const Char& c) { return c.kind == CharClass::kNumber; }
bool is_punctuation(const Char& c) { return c.kind == CharClass::kPunctuation; }

// (\P{N})(\p{P}) -> "\1 \2 "
void space_after_non_number(const std::vector<Char>& in, std::vector<Char>* out) {
  out->clear();
  for (size_t i = 0; i < in.size(); ++i) {
    out->push_back(in[i]);
    if (i + 1 == in.size() || is_number(in[i]) || !is_punctuation(in[i + 1])) continue;
    out->insert(out->end(), {kBlank, in[i + 1], kBlank});
    ++i;
  }
}

// (\p{P})(\P{N}) -> " \1 \2"
void space_before_non_number(const std::vector<Char>& in, std::vector<Char>* out) {
  out->clear();
  for (size_t i = 0; i < in.size(); ++i) {
    if (i + 1 == in.size() || !is_punctuation(in[i]) || is_number(in[i + 1])) {
      out->push_back(in[i]);
      continue;
    }
    out->insert(out->end(), {kBlank, in[i], kBlank, in[i + 1]});
    ++i;
  }
}

}  // namespace

void tokenize_intl(std::string_view line, TokenList* out) {
  std::vector<Char> chars, spaced;
  chars.reserve(2 * line.size());
  spaced.reserve(2 * line.size());
  for (size_t at = 0; at < line.size();) {
    const char32_t c = next_code_point(line, &at);
    chars.push_back({c, char_class(c)});
  }
  space_after_non_number(chars, &spaced);
  space_before_non_number(spaced, &chars);

  out->text.clear();
  for (const Char& c : chars) {  // (\p{S}) -> " \1 "
    const bool symbol = c.kind == CharClass::kSymbol;
    if (symbol) out->text.push_back(' ');
    append_utf8(c.code_point, &out->text);
    if (symbol) out->text.push_back(' ');
  }
  split_tokens(out);
}

}  // namespace skipbench
