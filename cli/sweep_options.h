// What `run`, `validate` and `search` share: the configuration and the options that change it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "eval/sweep/config.h"

namespace skipbench {

struct SweepCommandOptions {
  std::string config;
  std::vector<std::string> overrides;  // KEY=VALUE

  // CONFIG, --set, and --device, --dtype, --threads, --seed as short forms of --set.
  void add_to(CLI::App& command);
  // Every point of the configuration's matrix.
  std::vector<SweepConfig> load() const { return load_sweep_variants(config, overrides); }
};

}  // namespace skipbench
