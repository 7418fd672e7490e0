#include "engine/beam_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/base/error.h"

namespace skipbench {

const char* early_stopping_text(EarlyStopping rule) {
  constexpr const char* kTexts[] = {"false", "true", "never"};
  return kTexts[static_cast<int>(rule)];
}

EarlyStopping parse_early_stopping(std::string_view text, const std::string& where) {
  for (const EarlyStopping rule :
       {EarlyStopping::kHeuristic, EarlyStopping::kAll, EarlyStopping::kNever}) {
    if (text == early_stopping_text(rule)) return rule;
  }
  throw Error({.what = "not a rule of early stopping",
               .where = where,
               .expected = "false, true or never",
               .got = fmt::format("'{}'", text)});
}

void check_beams(const BeamOptions& options, const std::string& where) {
  constexpr int kMostBeams = 64;
  constexpr double kMostPenalty = 100;
  const auto refuse = [&](const char* what, const std::string& expected, const std::string& got) {
    throw Error({.what = what, .where = where, .expected = expected, .got = got});
  };
  if (options.beams < 1 || options.beams > kMostBeams) {
    refuse("number of beams out of range", fmt::format("1 to {}", kMostBeams),
           std::to_string(options.beams));
  }
  if (!(std::abs(options.length_penalty) <= kMostPenalty)) {
    refuse("length penalty out of range", fmt::format("a number in [-{0}, {0}]", kMostPenalty),
           fmt::format("{}", options.length_penalty));
  }
  if (options.no_repeat_ngram < 0) {
    refuse("length of n-grams out of range", "0 or more", std::to_string(options.no_repeat_ngram));
  }
  if (options.beams == 1 && !(options == BeamOptions())) {
    refuse("length penalty, early stopping and n-grams that may not repeat are beam search's",
           "two beams or more, or none of these", "1 beam");
  }
}

int64_t beam_candidates(const BeamOptions& options, size_t end_of_text_ids) {
  return std::max<int64_t>(2, 1 + static_cast<int64_t>(end_of_text_ids)) * options.beams;
}

void check_beam_candidates(const BeamOptions& options, size_t end_of_text_ids, int64_t vocabulary,
                           const std::string& where) {
  const int64_t wanted = beam_candidates(options, end_of_text_ids);
  if (options.beams == 1 || wanted <= vocabulary) return;
  const int64_t each = wanted / options.beams;
  throw Error({.what = "more beams than the vocabulary has continuations for",
               .where = where,
               .expected = fmt::format("at most {} ({} tokens, {} of them kept for each beam)",
                                       vocabulary / each, vocabulary, each),
               .got = std::to_string(options.beams)});
}

}  // namespace skipbench
