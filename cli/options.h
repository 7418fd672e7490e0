// Options that several commands share, added and read in one way.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "strategies/strategy.h"

namespace skipbench {

// --model, --adapter, --device, --dtype, --threads, --seed: every command that runs a model has them.
struct EngineOptions {
  std::string model;
  std::string adapter;  // empty: none
  std::string device = "cpu";
  std::string dtype = "f32";
  int threads = 0;
  int64_t seed = 0;  // of a synthetic model whose name gives none

  void add_to(CLI::App& command);
  DeviceSpec device_spec() const;
  // The model's name with the seed put in where it is synthetic and names none.
  std::string model_name() const;
};

// --strategy, --target, --param KEY=VALUE (repeatable).
struct StrategyOptions {
  std::string name = "full";
  double target = 1.0;
  std::vector<std::string> params;

  void add_to(CLI::App& command);
  // --target and --param, of a command whose strategy is given.
  void add_parameters_to(CLI::App& command);
  // Throws Error for a parameter without a value or given twice.
  StrategySpec spec() const;
  // The strategy for a model of `num_layers` that makes at most `max_new_tokens` (none where a
  // command makes no texts). A target outside [1, N/2] is refused for every strategy, also for one
  // that does not use it. Throws Error.
  std::unique_ptr<SkipStrategy> make(int num_layers,
                                     std::optional<int> max_new_tokens = std::nullopt) const;
};

// Checks of an option's text before CLI11 converts it: CLI11 takes an empty text as 0 and the
// nearest number for one too large.
CLI::Validator whole_number(int64_t lo, int64_t hi);
CLI::Validator finite_number();

// Lines of a file, or of standard input for "-", split at LF only; a last line without LF counts.
// Throws Error naming the file when it cannot be read.
std::vector<std::string> read_input_lines(const std::string& path);

}  // namespace skipbench
