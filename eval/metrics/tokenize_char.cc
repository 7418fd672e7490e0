// The two tokenizers that know no language: every character, and white space only.
#include "eval/metrics/tokenize.h"
#include "eval/metrics/unicode.h"

namespace skipbench {

void tokenize_char(std::string_view line, TokenList* out) {
  out->text.clear();
  for (size_t at = 0; at < line.size();) {
    const size_t start = at;
    next_code_point(line, &at);
    out->text.append(line, start, at - start);
    out->text.push_back(' ');
  }
  split_tokens(out);
}

void tokenize_none(std::string_view line, TokenList* out) {
  out->text.assign(line);
  split_tokens(out);
}

}  // namespace skipbench
