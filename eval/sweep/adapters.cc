#include "eval/sweep/adapters.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "datasets/prompt_template.h"
#include "engine/base/error.h"
#include "eval/sweep/yaml_section.h"

namespace skipbench {
std::string adapter_folder(const SweepConfig& config, const StrategySection& strategy,
                           double target) {
  const bool takes_common = strategy.name != "full";  // trained for skipping, the others
  const AdapterPattern& own = strategy.adapter;
  const AdapterPattern& pattern = own.text.empty() && takes_common ? config.model.adapter : own;
  if (pattern.text.empty() || pattern.text == kNoAdapter) return "";
  // Its training runs differ in their patterns, not in what these hold.
  const bool is_run = !strategy.adapters.empty() && !strategy.group.empty();
  std::map<std::string, std::string> fields = {
      {"strategy", is_run ? strategy.group : strategy.label},
      {"target", fmt::format("{:g}", target)}};
  const auto seed = strategy.params.find("seed");
  if (seed != strategy.params.end()) fields["seed"] = seed->second.text;
  std::string folder;
  for (const TextSegment& segment : PromptTemplate(pattern.text, pattern.where).fill(fields)) {
    folder += segment.text;
  }
  return here_or_beside(folder, config.path);
}

std::vector<std::string> adapter_folders(const SweepConfig& config, int num_layers) {
  std::vector<std::string> folders;
  for (const StrategySection& strategy : config.strategies) {
    for (const double target : strategy.targets) {
      if (!(target >= 1.0 && target <= std::max(1.0, num_layers / 2.0))) continue;
      const auto left_out = [&](const DatasetSection& dataset) {
        return config.excludes(strategy.label, target, dataset.name);
      };
      if (std::ranges::all_of(config.datasets, left_out)) continue;
      std::string folder = adapter_folder(config, strategy, target);
      if (folder.empty() || std::ranges::find(folders, folder) != folders.end()) continue;
      folders.push_back(std::move(folder));
    }
  }
  return folders;
}

}  // namespace skipbench
