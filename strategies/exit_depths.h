// Lists of exit depths that early_exit replays instead of deciding by confidence.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "strategies/strategy.h"

namespace skipbench {

inline constexpr size_t kMostDepths = 65536;  // in a list

struct ExitDepths {
  std::vector<int32_t> depths;  // layers run
  std::string from;             // the file, or where the list was written
};

// early_exit's parameter `depths`: layers with commas between them, or a file that
// `skipbench export --to exit-depths` wrote, of which the list of the spec's target is taken.
// Throws Error naming where it was written (and the file) for anything else, an empty list, one of
// more than kMostDepths entries or of a multiple of kReplayStride, a depth outside [min_layer,
// num_layers], a file of a model with another number of layers, and a target for which the file has
// no list or several.
ExitDepths param_depths(const StrategySpec& spec, int num_layers, int min_layer);

}  // namespace skipbench
