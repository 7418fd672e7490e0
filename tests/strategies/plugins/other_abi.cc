// A plug-in of another skipbench.
#include "strategies/plugin.h"

const skipbench::PluginAbi skipbench_plugin_abi{.version = 999};

const skipbench::StrategyInfo* skipbench_plugin_strategy() { return nullptr; }
