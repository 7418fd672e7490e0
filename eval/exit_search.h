// The best of early exit at a budget: its signal, first tested layer and interval, searched for the
// fastest decoding once each is calibrated to the budget. The head that a test asks is a large
// share of a layer, so that fewer tests can win what worse exits lose.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/calibration.h"

namespace skipbench {

// What is tried: every combination.
struct ExitGrid {
  std::vector<std::string> signals = {"softmax_difference", "top_probability", "entropy", "cosine"};
  std::vector<int> min_layers;  // empty: 1, K / 2, 3 K / 4, K - 1
  std::vector<int> intervals = {1, 2, 4};
};

// Told after each part of a search: what was done ("calibrated"), how many times, of how many.
using SearchProgress = std::function<void(const std::string& what, size_t done, size_t of)>;

struct ExitCandidate {
  StrategySpec spec;  // with its threshold
  Calibration calibration;
  std::vector<double> tokens_per_second;  // decoding, one per repetition
  double median_tokens_per_second = 0;
  double test_share = 0;  // of the decoding time, spent on exit tests
};

// Calibrates each combination on `data` and times those on target `repetitions` times, one after
// another in turns, after one untimed turn. The fastest first; those that miss the budget by more
// than 1 % come last, untimed. `base`: early_exit at its target, parameters that are not searched
// kept. Throws Error for a target at which nothing is skipped or a grid that the strategy refuses.
std::vector<ExitCandidate> search_exits(Decoder& decoder, const StrategySpec& base,
                                        const ExitGrid& grid, const CalibrationPrompts& data,
                                        int repetitions, const SearchProgress& progress = {});

}  // namespace skipbench
