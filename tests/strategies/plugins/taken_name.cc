// A plug-in that calls its strategy as a built-in one.
#include "strategies/constant_sets.h"
#include "strategies/plugin.h"

const skipbench::PluginAbi skipbench_plugin_abi{};

const skipbench::StrategyInfo* skipbench_plugin_strategy() {
  static const skipbench::StrategyInfo info = {
      .name = "unified",
      .params = {},
      .make = [](const skipbench::StrategySpec&,
                 int num_layers) -> std::unique_ptr<skipbench::SkipStrategy> {
        return std::make_unique<skipbench::ConstantSets>(skipbench::LayerSet::all(num_layers),
                                                         skipbench::LayerSet::all(num_layers));
      }};
  return &info;
}
