// adaskip's schedule, shared with the calibration that measures what it needs.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "strategies/layer_scores.h"

namespace skipbench {

// What adaskip is calibrated to: the scores of all attentions and MLPs, and the share of decoding
// steps that come once more MLPs are skipped.
struct AdaSkipScores {
  LayerScores layers;
  std::optional<double> late_share;
};

// As one line of JSON: layer_scores_json with "late_share".
std::string adaskip_scores_json(const AdaSkipScores& scores);

// Decoding steps that adaskip runs before it skips more MLPs.
int adaskip_early_steps(const StrategySpec& spec);

// Of texts with so many decoding steps each: the share of their steps from `early_steps` on.
double late_share(std::span<const int64_t> steps_per_text, int early_steps);

}  // namespace skipbench
