#include "strategies/plugin.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "engine/base/error.h"
#include "strategies/registry.h"

namespace skipbench {
namespace {

std::string describe(const PluginAbi& abi) {
  return fmt::format("version {}, struct sizes {}/{}/{}/{}, C++ ABI {}", abi.version,
                     abi.strategy_info_bytes, abi.strategy_spec_bytes, abi.skip_rule_bytes,
                     abi.layer_set_bytes, abi.cxx_abi);
}

void* find_symbol(void* library, const char* name, const std::string& path,
                  const std::string& where) {
  if (void* symbol = dlsym(library, name)) return symbol;
  throw Error({.what = "not a strategy plug-in",
               .where = where + ": " + path,
               .expected = fmt::format("the C name `{}`", name),
               .hint = "docs/adding-a-strategy.md shows what a plug-in defines"});
}

// The library stays loaded even when it is refused: unloading code that ran is never safe.
void* open_library(const std::string& path, const std::string& where) {
  if (void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  throw Error({.what = "cannot load the plug-in",
               .where = where,
               .expected = "a shared library",
               .got = dlerror(),
               .hint = "build it with the compiler and the headers of this skipbench"});
}

}  // namespace

void load_strategy_plugin(const std::string& path, const std::string& where) {
  std::error_code error;
  const std::string file = std::filesystem::canonical(path, error).string();
  if (error) {
    throw Error({.what = "cannot load the plug-in",
                 .where = where,
                 .expected = "a shared library",
                 .got = fmt::format("{}: {}", path, error.message())});
  }
  static std::set<std::string> loaded;
  if (loaded.contains(file)) return;
  void* library = open_library(file, where);
  const auto* abi =
      static_cast<const PluginAbi*>(find_symbol(library, "skipbench_plugin_abi", path, where));
  if (*abi != PluginAbi{}) {
    throw Error({.what = "the plug-in was built for another skipbench",
                 .where = where + ": " + path,
                 .expected = describe(PluginAbi{}),
                 .got = describe(*abi),
                 .hint = "rebuild it with the headers of this skipbench"});
  }
  const auto entry = reinterpret_cast<decltype(&skipbench_plugin_strategy)>(
      find_symbol(library, "skipbench_plugin_strategy", path, where));
  const StrategyInfo* info = entry();
  if (info == nullptr || info->name.empty() || info->make == nullptr) {
    throw Error({.what = "the plug-in describes no strategy",
                 .where = where + ": " + path,
                 .expected = "a StrategyInfo with `name` and `make`"});
  }
  StrategyInfo strategy = *info;
  strategy.plugin = file;
  register_strategy(std::move(strategy), where + ": " + path);
  loaded.insert(file);
}

}  // namespace skipbench
