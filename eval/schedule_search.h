// The best of skip_decode at a budget: how steeply its number of layers falls. Every schedule has
// the same mean, so that speed is the same by construction and quality on given texts decides.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "eval/calibration.h"
#include "eval/exit_search.h"

namespace skipbench {

// Prompts with the references that should follow them.
struct ScheduleTexts {
  std::span<const ScoreRequest> texts;
  int64_t batch_size = 1;
  std::function<void()> on_batch;  // after each batch (^C through an exception)
  // Quality of a strategy's own texts, such as BLEU of the decoded prompts, and the mean layers per
  // step that they ran. Empty: the loss decides.
  struct Score {
    double value = 0;
    double layers = 0;
  };
  std::function<Score(const SkipStrategy&)> score;
  bool higher_is_better = true;  // of `score`
  SearchProgress progress;
};

struct ScheduleCandidate {
  StrategySpec spec;  // with its min_layers and, where the number of layers falls, expected_length
  int min_layers = 0;
  int max_layers = 0;          // 2K - min_layers
  Calibration calibration;     // of expected_length, on the lengths of the texts
  double realised_budget = 0;  // mean layers per decoding step, counted
  double loss = 0;             // mean of -log p(token) over the texts' tokens, nats
  std::optional<double> score;
  std::optional<double> decoded_layers;  // mean per step of the texts that were scored
  bool within_budget = false;            // at most 1 % above K: fewer layers win no quality
};

// Brings the schedule of each of `min_layers` to the budget K on the lengths of the texts and reads
// these, teacher-forced: the prompt through all layers, every later token through its step's. The
// best score first, without scores and among equal ones the least loss; those more than 1 % above
// K, on the references or in the texts that were scored, come last. `min_layers` empty: all of [the
// steepest schedule's, K], of more than 16 values 16 spread evenly, both ends among them. `base`:
// skip_decode at its target; its warmup_layers are kept. Throws Error where there is one schedule
// only, for a value that the strategy refuses, texts without a decoding step, and log-probabilities
// that are not finite.
std::vector<ScheduleCandidate> search_schedules(Decoder& decoder, StrategySpec base,
                                                std::span<const int> min_layers,
                                                const ScheduleTexts& data);

}  // namespace skipbench
