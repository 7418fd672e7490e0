// What a sweep can run with but hardly means.
#pragma once

#include <string>
#include <vector>

#include "eval/sweep/setup.h"

namespace skipbench {

// One sentence for each, in the configuration's order: an adapter that finetune.json says was made
// for another strategy, target or prompt; a layer set of `unified` that leaves a much longer run of
// layers out than an even one; prompts that are all the same.
std::vector<std::string> sweep_warnings(const SweepSetup& setup);

}  // namespace skipbench
