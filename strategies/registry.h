// What puts strategies into the registry besides its own table.
#pragma once

#include <string>

#include "strategies/strategy.h"

namespace skipbench {

// Throws Error naming `where` if a strategy of this name is there.
void register_strategy(StrategyInfo info, const std::string& where);

}  // namespace skipbench
