// Realised exit depths of a results file, as early_exit's parameter `depths` reads them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "eval/store/store.h"

namespace skipbench {

// Of each early_exit cell of the run (default: the latest) that was scored: the layers that its
// texts' decoding steps ran, text after text. steps > 0: as many steps in a row as that, the first
// of those whose mean is nearest to the budget; 0: all. JSON: {"num_layers", "model", "model_hash",
// "commit", "command", "started", "lists": [{"strategy", "target", "dataset", "params",
// "threshold", "budget", "mean", "first_step", "run_steps", "run_mean", "depths"}]}. Throws Error
// for a file without such a cell, for a run with a matrix (of several models), and for more steps
// than a cell has.
std::string export_exit_depths(ResultStore& store, int64_t steps,
                               std::optional<int64_t> run = std::nullopt);

}  // namespace skipbench
