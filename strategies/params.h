// Typed access to a strategy's parameters; every refusal names where the value was written.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "strategies/strategy.h"

namespace skipbench {

// The parameter's value, or `fallback` when it was not given. Throws Error unless lo <= value <=
// hi.
double param_number(const StrategySpec& spec, std::string_view name, double fallback, double lo,
                    double hi);
int param_integer(const StrategySpec& spec, std::string_view name, int fallback, int lo, int hi);

// Index of the parameter's value in `choices`, or `fallback`. Throws Error for another value.
size_t param_choice(const StrategySpec& spec, std::string_view name,
                    const std::vector<std::string>& choices, size_t fallback);

// A list of layers as written: "0-5, 9" or "[0, 9]", no layer twice, its order kept; empty when it
// was not given. Throws Error for a layer outside [0, num_layers - 1].
std::vector<int> param_layers(const StrategySpec& spec, std::string_view name, int num_layers);

// A list of finite numbers as written: "0.1, 2e-3" or "[0.1]". Throws Error for anything else.
std::vector<double> param_numbers(const StrategySpec& spec, std::string_view name);

// A dynamic strategy's `threshold`, 1 where it was not given. Throws Error where a target above 1
// has none; `example` is one to try.
double param_threshold(const StrategySpec& spec, int num_layers, std::string_view example);

// A dynamic strategy's `batch`.
RowsDone param_rows_done(const StrategySpec& spec);

// The bytes of the file that a parameter names. Throws Error at `source` where it cannot be read:
// `content` is what it should hold, `otherwise` what the parameter takes besides a file.
std::string read_param_file(const std::string& path, const std::string& source,
                            const std::string& content, const std::string& otherwise);

bool has_param(const StrategySpec& spec, std::string_view name);

}  // namespace skipbench
