// Which LoRA adapter a strategy's cells run with.
#pragma once

#include <string>
#include <vector>

#include "eval/sweep/config.h"

namespace skipbench {

// The folder that the strategy's own `adapter` (one of its `adapters`), or else the model's, names
// at this target, where {strategy} is its entry's label; empty where it runs the model itself
// ("none", or `full` without one of its own). Throws Error for a brace that is neither {strategy},
// {target} nor, of a strategy that has one, {seed}.
std::string adapter_folder(const SweepConfig& config, const StrategySection& strategy,
                           double target);

// All folders that targets within [1, max(1, N/2)] name, each once.
std::vector<std::string> adapter_folders(const SweepConfig& config, int num_layers);

}  // namespace skipbench
