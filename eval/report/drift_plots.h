// How far a skipping run drifts from the full one, as plots.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/probe/divergence.h"
#include "eval/report/plot.h"

namespace skipbench {

// One strategy at one target.
struct DriftLine {
  std::string dataset;  // empty: there is but one
  std::string strategy;
  double target = 1;
  // Means over decoding steps, after each layer: of the cosine with the full model's hidden state
  // and of the ratio of norms.
  std::vector<double> cosine;      // [N]
  std::vector<double> norm_ratio;  // [N]
  std::vector<StepSums> steps;     // entry 0 the prefill's; empty: steps were not told apart
};

const std::vector<std::string>& drift_plot_kinds();

// Kinds: "similarity", for each data set a row of panels of the cosine and one of the ratio by
// layer, a panel per target; "divergence", likewise of KL and top-1 agreement by token, long texts
// in 24 points; "steps", a heat map of the cosine by layer and token for each strategy but full. In
// the first two a strategy has one colour throughout and a line named "full" stands in every panel.
// Token 0 is the prefill's, token t + 1 decoding step t's. No line that has what the kind shows, or
// full's alone: a plot without panels. Throws Error for another kind.
Plot drift_plot(std::span<const DriftLine> lines, const std::string& kind);

// The line in what `skipbench probe --strategy` printed as JSON. Throws Error naming `where` for
// other contents.
DriftLine probe_drift(const std::string& json, const std::string& where);

}  // namespace skipbench
