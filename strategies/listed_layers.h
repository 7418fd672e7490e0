// The sublayers that a strategy's parameters list.
#pragma once

#include "strategies/strategy.h"

namespace skipbench {

// From `layers`, or from `attention` and `mlp` together: lists as param_layers reads them. Throws
// Error where neither or both are given, and where nothing would run.
LayerSet listed_layers(const StrategySpec& spec, int num_layers);

}  // namespace skipbench
