// How beam search ranks and ends hypotheses, as Hugging Face's generate() defines it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace skipbench {

enum class EarlyStopping {
  kHeuristic,  // "false": once the best open beam, at its length, is below the worst finished text
  kAll,        // "true": once there are as many finished texts as beams
  kNever,      // the same as kHeuristic, but the beam might still grow to the greatest length
};

struct BeamOptions {
  int beams = 1;                // 1: no beam search
  double length_penalty = 1.0;  // a text's score is the sum of its log-probs over length^this
  EarlyStopping early_stopping = EarlyStopping::kHeuristic;
  int no_repeat_ngram = 0;  // n-grams of prompt and text that may not come again; 0: none

  bool operator==(const BeamOptions&) const = default;
};

// "false", "true" or "never". Throws Error naming `where` for another word.
EarlyStopping parse_early_stopping(std::string_view text, const std::string& where);

// What parse_early_stopping reads.
const char* early_stopping_text(EarlyStopping rule);

// Throws Error naming `where` for what is out of range, or has a meaning for several beams alone.
void check_beams(const BeamOptions& options, const std::string& where);

// How many continuations of a text a step keeps: enough that `beams` of them are no ends.
int64_t beam_candidates(const BeamOptions& options, size_t end_of_text_ids);

// Throws Error naming `where` for a search of several beams that keeps more than the vocabulary
// has.
void check_beam_candidates(const BeamOptions& options, size_t end_of_text_ids, int64_t vocabulary,
                           const std::string& where);

}  // namespace skipbench
