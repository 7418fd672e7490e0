// Text substitutions that several of sacreBLEU's tokenizers share. All their classes are ASCII, so
// that working on bytes gives what working on characters gives.
#pragma once

#include <string>
#include <string_view>

#include "eval/metrics/tokenize.h"

namespace skipbench {

// Python's text.replace(what, with), in one pass.
void replace_all(std::string* text, std::string* scratch, std::string_view what,
                 std::string_view with);

// Blanks around ASCII punctuation but for ' , - .
void separate_punctuation(std::string_view in, std::string* out);

// Splits full stop and comma off unless between digits, then a dash after a digit; in out->text.
void space_stops_and_dashes(TokenList* out);

}  // namespace skipbench
