// mteval-v13a, WMT's tokenization for Western languages, as sacreBLEU 2.6 writes it: a chain of
// regular expression substitutions.
#include "eval/metrics/tokenize_rules.h"

namespace skipbench {

void apply_western_rules(TokenList* out) {
  separate_punctuation(out->text, &out->scratch);
  out->text.swap(out->scratch);
  space_stops_and_dashes(out);
  split_tokens(out);
}

void tokenize_13a(std::string_view line, TokenList* out) {
  std::string& text = out->text;
  text.clear();
  text.push_back(' ');
  text.append(line);
  text.push_back(' ');
  const auto replace = [&](std::string_view what, std::string_view with) {
    replace_all(&text, &out->scratch, what, with);
  };
  replace("<skipped>", "");
  replace("-\n", "");
  replace("\n", " ");
  if (text.find('&') != std::string::npos) {
    replace("&quot;", "\"");
    replace("&amp;", "&");
    replace("&lt;", "<");
    replace("&gt;", ">");
  }
  apply_western_rules(out);
}

}  // namespace skipbench
