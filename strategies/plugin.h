// Strategies from outside the tree: a shared library that defines the two C names below, loaded by
// `--plugin FILE` or the configuration's `plugins`. docs/adding-a-strategy.md shows one.
#pragma once

#include <cstdint>
#include <string>

#include "strategies/strategy.h"

namespace skipbench {

// What host and plug-in must agree on before any C++ object crosses between them. `version` rises
// with every change to what the virtual functions of SkipStrategy or the fields of its structs
// mean; the sizes and the compiler's ABI catch builds that differ without a new version.
struct PluginAbi {
  uint32_t version = 6;
  uint32_t strategy_info_bytes = sizeof(StrategyInfo);
  uint32_t strategy_spec_bytes = sizeof(StrategySpec);
  uint32_t skip_rule_bytes = sizeof(SkipRule);
  uint32_t layer_set_bytes = sizeof(LayerSet);
  uint32_t cxx_abi = __GXX_ABI_VERSION;

  bool operator==(const PluginAbi&) const = default;
};

// Loads the library at `path` (a path, never a search of the loader's folders) and puts its
// strategy into the registry; it stays loaded until the process ends. Loading a file twice does
// nothing the second time. Throws Error naming the file, and `where` it was asked for, when it
// cannot be loaded, lacks a name, was built for another ABI, or brings a name that the registry
// has. Not to be called once strategies are in use: a span of strategy_table() may move.
void load_strategy_plugin(const std::string& path, const std::string& where = "--plugin");

}  // namespace skipbench

extern "C" {
// Plug-ins write: const skipbench::PluginAbi skipbench_plugin_abi{};
extern const skipbench::PluginAbi skipbench_plugin_abi;
// The strategy's description, alive as long as the library.
const skipbench::StrategyInfo* skipbench_plugin_strategy();
}
