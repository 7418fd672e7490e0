// Options that several commands share, added and read in one way.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/base/error.h"
#include "strategies/strategy.h"

namespace skipbench {

// --model, --adapter, --device, --dtype, --threads, --seed: every command that runs a model has
// them.
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
  // As add_to makes them; null: the command has its strategy otherwise.
  const CLI::Option* name_option = nullptr;
  const CLI::Option* target_option = nullptr;

  void add_to(CLI::App& command);
  // --target and --param, of a command whose strategy is given.
  void add_parameters_to(CLI::App& command);
  // Throws Error for a parameter without a value or given twice, and for a target where no strategy
  // is chosen: `full` would not use it.
  StrategySpec spec() const;
  // The strategy for a model of `num_layers` that makes at most `max_new_tokens` (none where a
  // command makes no texts). A target outside [1, N/2] is refused for every strategy, also for one
  // that does not use it. Throws Error.
  std::unique_ptr<SkipStrategy> make(int num_layers,
                                     std::optional<int> max_new_tokens = std::nullopt) const;
};

// The Error of a `flag` that says something of a strategy where none is chosen.
Error strategy_is_missing(const std::string& flag, const std::string& got);

// The command as it was typed: what a reader of its results can run again.
std::string command_line();

// The texts' parts between commas.
std::vector<std::string> split_list(const std::vector<std::string>& texts);

// Checks of an option's text before CLI11 converts it: CLI11 takes an empty text as 0 and the
// nearest number for one too large.
CLI::Validator whole_number(int64_t lo, int64_t hi);
CLI::Validator finite_number();
CLI::Validator positive_number();
// Refuses an empty value, which would be taken as if the option were not there; main has every
// option checked by it.
CLI::Validator not_empty();

// An option of values with commas between them, each checked. CLI11's own delimiter drops empty
// ones.
template <typename T>
CLI::Option* add_list(CLI::App& command, const std::string& flags, std::vector<T>& list,
                      const std::string& help, const CLI::Validator& check = not_empty()) {
  const std::string name = flags.substr(flags.rfind(',') + 1);
  const auto take = [&list, name, check](const std::vector<std::string>& texts) {
    list.clear();
    for (const std::string& item : split_list(texts)) {
      const std::string wrong = check(item);
      T value{};
      if (!wrong.empty() || !CLI::detail::lexical_cast(item, value)) {
        throw CLI::ValidationError(name, wrong.empty() ? "cannot use '" + item + "'" : wrong);
      }
      list.push_back(value);
    }
  };
  CLI::Option* option = command.add_option_function<std::vector<std::string>>(flags, take, help);
  option->default_function([&list] {
    std::string joined;
    for (const T& value : list)
      joined += (joined.empty() ? "" : ",") + CLI::detail::to_string(value);
    return joined;
  });
  const std::string range = check.get_description();
  return option->type_name(range.empty() ? "LIST" : "LIST:" + range);
}

}  // namespace skipbench
