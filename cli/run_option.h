// --run: which run of a results file a command shows.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

namespace skipbench {

struct RunOption {
  std::string text;  // empty: the latest run

  // `what` the command makes of the run, in its help.
  CLI::Option* add_to(CLI::App& command, const std::string& what);
  // Nothing where the option is left out. Throws Error for what is no number.
  std::optional<int64_t> number() const;
};

}  // namespace skipbench
