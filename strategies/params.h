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

bool has_param(const StrategySpec& spec, std::string_view name);

}  // namespace skipbench
