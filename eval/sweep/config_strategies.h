// The strategies of a sweep's configuration.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/sweep/config.h"
#include "eval/sweep/yaml_section.h"

namespace skipbench {

// `strategies`, each with the common targets where it has none of its own. One with `seeds` or
// `adapters` becomes as many, in one group. `seed` is the configuration's, `config_path` where
// files that parameters name are looked up. Throws Error with file:line and the key path.
std::vector<StrategySection> read_strategies(const YamlSection& root, int64_t seed,
                                             const std::string& config_path);

}  // namespace skipbench
