// Whether a metric fits the texts that it is to score. BLEU's usual tokenizer leaves sentences
// without spaces whole, and ROUGE knows no token outside [a-z0-9]: both then give numbers that say
// nothing (mjpost/sacrebleu#165, huggingface/evaluate#108).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/metrics/metric.h"

namespace skipbench {

// What texts are, all together.
struct TextProfile {
  // A language that is written without spaces, if at least 30 % of the letters are of its script:
  // as language_without_spaces has them; else "".
  std::string_view language;
  double share = 0;                  // of letters of such scripts among all
  bool has_spaces = false;           // between their words all the same: put there beforehand
  int64_t texts = 0;                 // that are not blank
  int64_t without_rouge_tokens = 0;  // among them
};

// Of references, one list per segment, or of outputs, one list per system.
TextProfile profile_texts(std::span<const std::vector<std::string>> texts);

struct FitRequest {
  std::string metric;    // its name, for the warning
  std::string language;  // as the user gave it; empty: the references tell
  bool forced = false;   // the user has chosen the tokenizer, or asked to score all the same
  std::string where;     // where the tokenizer is chosen
  std::string hint;      // how to score all the same
};

// A warning, or nothing where the metric fits. Throws Error for a tokenizer that does not split the
// texts, unless it is forced.
std::string check_fit(const Metric& metric, const FitRequest& request, const TextProfile& profile);

// A warning where the references were segmented beforehand, the metric depends on it, and the
// outputs were not; `outputs` null: not known yet, so that they may not be. `name`: what to call
// them.
std::string check_segmented_alike(const Metric& metric, const FitRequest& request,
                                  const TextProfile& references, const TextProfile* outputs,
                                  const std::string& name);

}  // namespace skipbench
