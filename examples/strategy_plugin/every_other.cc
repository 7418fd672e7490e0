// A strategy outside the tree: every second layer from the bottom, and the last one, thinned to K.
//
//   g++ -std=c++20 -O2 -shared -fPIC -I SKIPBENCH every_other.cc -o every_other.so
//   skipbench --plugin ./every_other.so plan --layers 12 --strategy every_other --target 2
#include "strategies/constant_sets.h"
#include "strategies/plugin.h"

namespace {

std::unique_ptr<skipbench::SkipStrategy> make(const skipbench::StrategySpec& spec, int num_layers) {
  const int budget = skipbench::layer_budget(num_layers, spec.target, spec.where);
  std::vector<int> layers;
  for (int step = 2; static_cast<int>(layers.size()) < budget; --step) {  // 2, then all, in order
    layers.clear();
    for (int layer = 0; layer < num_layers && static_cast<int>(layers.size()) < budget - 1;
         layer += step) {
      if (layer != num_layers - 1) layers.push_back(layer);
    }
    layers.push_back(num_layers - 1);
  }
  return std::make_unique<skipbench::ConstantSets>(skipbench::LayerSet::all(num_layers),
                                                   skipbench::LayerSet::of(num_layers, layers));
}

}  // namespace

const skipbench::PluginAbi skipbench_plugin_abi{};

const skipbench::StrategyInfo* skipbench_plugin_strategy() {
  static const skipbench::StrategyInfo info = {
      .name = "every_other",
      .summary = "every second layer and the last one: the example of docs/adding-a-strategy.md",
      .paper = "none",
      .kv_policy = "absent (never read: the set is constant)",
      .params = {},
      .make = make,
  };
  return &info;
}
