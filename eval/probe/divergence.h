// How far a skipping run's states and distributions are from the full model's, on the same tokens.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "engine/decoder.h"
#include "eval/metrics/response_metrics.h"

namespace skipbench {

// Sums over the texts that have a step. Entry 0 of a list is the prefill, seen at each prompt's
// last token; entry t + 1 is decoding step t.
struct StepSums {
  int64_t texts = 0;
  double layers = 0;     // that the skipping run ran
  double kl = 0;         // KL(full || skipping) of the next token's distributions, nats
  int64_t agreeing = 0;  // texts whose most probable next token is the same
  // [N]: after each layer, the cosine of the skipping run's hidden state with the full run's, and
  // its norm over the full run's. Where a layer is skipped the state is the one passed through.
  std::vector<double> cosine;
  std::vector<double> norm_ratio;

  void add(const StepSums& other);
};

// Entry by entry; the longer list decides how many there are.
void add_steps(std::vector<StepSums>& sums, std::span<const StepSums> others);

// The same as means.
struct StepDivergence {
  int64_t texts = 0;
  double layers = 0;
  std::vector<double> cosine;
  std::vector<double> norm_ratio;
  double kl = 0;
  double top1_agreement = 0;  // share of the texts
};

StepDivergence mean_of(const StepSums& sums);

struct DivergenceModels {
  Model& full;      // runs all layers
  Model& skipping;  // the same, or with an adapter
};

// Teacher-forced: both runs read a text's prompt and then its continuation token by token.
// `max_steps` decoding steps at most. Throws Error for texts that check_tokens refuses.
std::vector<StepDivergence> measure_divergence(DivergenceModels models,
                                               const SkipStrategy& strategy,
                                               std::span<const ScoreRequest> texts, int64_t batch,
                                               int64_t max_steps,
                                               const std::function<void()>& on_pass = {});

struct BatchDivergence {
  std::vector<ResponseScore> texts;  // of each text, its first token (the prefill's) included
  std::vector<StepSums> steps;
};

// All texts as one batch, over their whole continuations. Errors as measure_divergence's.
BatchDivergence measure_batch_divergence(DivergenceModels models, const SkipStrategy& strategy,
                                         std::span<const ScoreRequest> texts);

}  // namespace skipbench
