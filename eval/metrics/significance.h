// How sure a score is: bootstrap intervals and paired tests, for any metric, from its statistics
// per segment alone. The draws, the order of operations and the p-values are sacreBLEU 2.6.0's
// (after Koehn 2004, Riezler and Maxwell 2005, Clark et al. 2011), so results with seed 12345 equal
// its own.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "eval/metrics/metric.h"

namespace skipbench {

struct SignificanceSettings {
  int resamples = 1000;  // of the bootstrap
  int trials = 10000;    // of approximate randomisation
  uint32_t seed = 12345;
};

// 95 % of the resamples' scores lie within mean +- half_width, and from low to high.
struct ScoreInterval {
  double mean = 0, half_width = 0, low = 0, high = 0;
};

// One score of one system, beside the baseline's.
struct ComparedScore {
  Score score;
  std::optional<ScoreInterval> interval;
  std::optional<double> p_value;  // absent for the baseline
};

// The scores of resampled corpora: [scores of the metric][resamples].
std::vector<std::vector<double>> bootstrap_scores(const Metric& metric, const SegmentStats& stats,
                                                  const SignificanceSettings& settings);

// As sacreBLEU's estimate_ci; `scores` has at least one value.
ScoreInterval estimate_interval(std::vector<double> scores);

// One interval per score of the metric.
std::vector<ScoreInterval> bootstrap_intervals(const Metric& metric, const SegmentStats& stats,
                                               const SignificanceSettings& settings);

enum class PairedTest { kBootstrap, kRandomisation };

// Tests of every system against the baseline, on the same segments in the same order. Returns
// [1 + systems][scores of the metric], the baseline first. Randomisation's p-value is two-sided:
// the probability, were both the same, of a difference at least as large either way. The
// bootstrap's is sacreBLEU's, about half of that: the share of resamples whose |difference| less
// the mean of all of them exceeds the real one (a difference of 1.96 standard errors has 0.024,
// next to none 0.43). Equal scores have p = 1 under both, where sacreBLEU gives the smallest p.
// Throws Error if the numbers of segments differ.
std::vector<std::vector<ComparedScore>> compare_to_baseline(const Metric& metric,
                                                            const SegmentStats& baseline,
                                                            std::span<const SegmentStats> systems,
                                                            PairedTest test,
                                                            const SignificanceSettings& settings);

}  // namespace skipbench
