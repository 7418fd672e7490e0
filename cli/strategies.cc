// skipbench strategies: the registry, for people and for scripts.
#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "strategies/strategy.h"

namespace skipbench {
namespace {

nlohmann::ordered_json describe(const StrategyInfo& info) {
  nlohmann::ordered_json json;
  json["name"] = info.name;
  json["summary"] = info.summary;
  json["paper"] = info.paper;
  json["kv_policy"] = info.kv_policy;
  json["dynamic"] = info.is_dynamic;
  json["needs_training"] = info.needs_training;
  if (!info.plugin.empty()) json["plugin"] = info.plugin;
  json["params"] = nlohmann::ordered_json::array();
  for (const ParamInfo& param : info.params) {
    json["params"].push_back({{"name", param.name},
                              {"default", param.default_text},
                              {"range", param.range},
                              {"help", param.help}});
    if (param.is_searched) json["params"].back()["searched"] = true;
  }
  return json;
}

}  // namespace

void add_strategies(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("strategies", "The strategies with parameters, papers and KV policies");
  command->footer("Example:\n  skipbench strategies");
  command->callback([] {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const StrategyInfo& info : strategy_table()) list.push_back(describe(info));
    std::cout << list.dump(2) << '\n';
  });
}

}  // namespace skipbench
