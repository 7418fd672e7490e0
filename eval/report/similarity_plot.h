// How far hidden states drift from the full model's, layer by layer, as a plot.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/report/plot.h"

namespace skipbench {

// Means over decoding steps, after each layer: of the cosine with the full model's hidden state and
// of the ratio of norms.
struct DriftLine {
  std::string dataset;  // empty: there is but one
  std::string strategy;
  double target = 1;
  std::vector<double> cosine;      // [N]
  std::vector<double> norm_ratio;  // [N]
};

// For each data set, a row of panels of the cosine and one of the ratio, a panel per target; a
// strategy has one colour throughout. A line named "full" stands in every panel. No other line: a
// plot without panels.
Plot similarity_plot(std::span<const DriftLine> lines);

// The line in what `skipbench probe --strategy` printed as JSON. Throws Error naming `where` for
// other contents.
DriftLine probe_drift(const std::string& json, const std::string& where);

}  // namespace skipbench
