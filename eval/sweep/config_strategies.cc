#include "eval/sweep/config_strategies.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "engine/base/error.h"
#include "strategies/params.h"

namespace skipbench {
namespace {

// Strategies of one name are told apart by the parameters they were given.
std::string default_label(const StrategySection& strategy, bool name_is_unique) {
  if (name_is_unique || strategy.params.empty()) return strategy.name;
  std::string params;
  for (const auto& [name, value] : strategy.params) {
    params += fmt::format("{}{}={}", params.empty() ? "" : ", ", name, value.text);
  }
  return fmt::format("{} ({})", strategy.name, params);
}

// `adapters`: one for each training run of the strategy.
std::vector<AdapterPattern> read_adapters(const YamlSection& section, int64_t seeds) {
  if (!section.has("adapters")) return {};
  const std::string where = section.where("adapters");
  const bool with_adapter = section.has("adapter");
  if (with_adapter || seeds > 1) {
    throw Error({.what = fmt::format("`adapters` beside `{}`", with_adapter ? "adapter" : "seeds"),
                 .where = where,
                 .expected = "one of them",
                 .hint = with_adapter ? "`adapters: [A, B, C]` are training runs of one strategy"
                                      : "give each seed an entry with `adapters` of its own"});
  }
  std::vector<AdapterPattern> adapters;
  std::set<std::string> seen;
  for (const std::string& text : section.paths("adapters")) {
    if (text.empty() || text == kNoAdapter || !seen.insert(text).second) {
      throw Error({.what = "each training run has an adapter of its own",
                   .where = where,
                   .expected = "folders or patterns that differ",
                   .got = seen.contains(text) ? fmt::format("'{}' twice", text)
                                              : fmt::format("'{}'", text)});
    }
    adapters.push_back({text, where});
  }
  if (adapters.empty()) {
    throw Error({.what = "no training run",
                 .where = where,
                 .expected = "a list of adapters, as in [run1/{strategy}-{target}x, "
                             "run2/{strategy}-{target}x]"});
  }
  return adapters;
}

StrategySection read_strategy(const YamlSection& section, const YamlSection& root, int64_t seed,
                              const std::string& config_path) {
  StrategySection strategy;
  strategy.name = section.text("name");
  strategy.label = section.text("label");
  strategy.where = section.where("name");
  strategy.seeds = section.integer("seeds");
  strategy.seeds_where = section.where("seeds");
  strategy.adapter = {section.path("adapter"), section.where("adapter")};
  strategy.adapters = read_adapters(section, strategy.seeds);
  const StrategyInfo& info = find_strategy(strategy.name, strategy.where);
  for (const auto& setting : section.settings("params")) {
    strategy.params[setting.name] = {setting.value, setting.where};
  }
  for (const ParamInfo& param : info.params) {
    const auto given = strategy.params.find(param.name);
    if (param.is_file && given != strategy.params.end()) {
      given->second.text = here_or_beside(given->second.text, config_path);
    }
    if (param.name == "seed" && !strategy.params.contains("seed")) {
      strategy.params["seed"] = {std::to_string(seed), "seed"};
    }
  }
  const bool own = section.has("targets");
  const YamlSection& from = own ? section : root;
  strategy.targets_where = from.where("targets");
  if (!info.uses_target) {
    strategy.targets = {1.0};
    if (!own || strategy.name == "full") return strategy;
    strategy.targets = section.numbers("targets");
    if (strategy.targets.size() == 1) return strategy;
    throw Error(
        {.what = fmt::format("strategy '{}' runs the same layers at every target", strategy.name),
         .where = strategy.targets_where,
         .expected = "the one target that they were chosen for, or no `targets`",
         .got = fmt::format("{} targets", strategy.targets.size())});
  }
  strategy.targets = from.numbers("targets");
  if (strategy.targets.empty()) {
    throw Error({.what = fmt::format("strategy '{}' needs targets", strategy.name),
                 .where = strategy.where,
                 .expected = "`targets: [2, 3, 5]`, common or the strategy's own"});
  }
  return strategy;
}

int first_seed(const StrategySection& strategy) {
  if (!strategy.params.contains("seed")) {
    throw Error({.what = fmt::format("strategy '{}' has no seed", strategy.name),
                 .where = strategy.seeds_where,
                 .expected = "`seeds` at a strategy with a parameter `seed`, such as random",
                 .hint = "adapters trained with several seeds are `adapters`"});
  }
  return param_integer({.name = strategy.name, .params = strategy.params}, "seed", 0, 0,
                       std::numeric_limits<int>::max() - 1000);
}

// One strategy for each of its `seeds` or `adapters`, told apart by their labels.
std::vector<StrategySection> runs_of(const StrategySection& strategy) {
  const bool by_seed = strategy.seeds > 1;
  const int64_t runs = by_seed ? strategy.seeds : std::ssize(strategy.adapters);
  const int seed = by_seed ? first_seed(strategy) : 0;
  std::vector<StrategySection> list;
  for (int64_t i = 0; i < runs; ++i) {
    StrategySection one = strategy;
    if (by_seed) {
      one.params["seed"].text = std::to_string(seed + i);
      one.label = fmt::format("{} seed {}", strategy.label, seed + i);
    } else {
      one.adapter = strategy.adapters[static_cast<size_t>(i)];
      one.label = fmt::format("{} run {}", strategy.label, i + 1);
    }
    one.group = strategy.label;
    list.push_back(std::move(one));
  }
  if (list.size() > 1) return list;
  // Alone, it is a row as any other.
  StrategySection alone = list.empty() ? strategy : list[0];
  alone.label = strategy.label;
  alone.group.clear();
  return {alone};
}

// A row that says `full` is full.
void check_label(const StrategySection& strategy) {
  if (strategy.label == strategy.name) return;
  const auto names_it = [&](const StrategyInfo& info) { return info.name == strategy.label; };
  if (std::ranges::none_of(strategy_table(), names_it)) return;
  throw Error(
      {.what = fmt::format("'{}' cannot be the label of '{}'", strategy.label, strategy.name),
       .where = strategy.where,
       .expected = "a `label` that is no other strategy's name"});
}

// One label may stand for a strategy with other parameters at other targets.
class LabelsInUse {
 public:
  // Throws Error for a label that another strategy has at one of the targets.
  void add(const std::string& label, const StrategySection& strategy) {
    const std::set<double> targets(strategy.targets.begin(), strategy.targets.end());
    for (const double target : targets) {
      if (seen_.emplace(label, target).second) continue;
      throw Error({.what = fmt::format("strategy '{}' given twice", label),
                   .where = strategy.where,
                   .hint = "give one of them another `label`, or other `targets`"});
    }
  }

 private:
  std::set<std::pair<std::string, double>> seen_;
};

}  // namespace

std::vector<StrategySection> read_strategies(const YamlSection& root, int64_t seed,
                                             const std::string& config_path) {
  std::vector<StrategySection> strategies;
  for (const YamlSection& section : root.sections("strategies")) {
    strategies.push_back(read_strategy(section, root, seed, config_path));
  }
  LabelsInUse labels;
  std::vector<StrategySection> expanded;
  for (StrategySection& strategy : strategies) {
    const auto same_name = [&](const StrategySection& s) { return s.name == strategy.name; };
    const bool unique = std::count_if(strategies.begin(), strategies.end(), same_name) == 1;
    if (strategy.label.empty()) strategy.label = default_label(strategy, unique);
    check_label(strategy);
    labels.add(strategy.label, strategy);
    for (StrategySection& run : runs_of(strategy)) {
      if (run.label != strategy.label) labels.add(run.label, run);
      expanded.push_back(std::move(run));
    }
  }
  return expanded;
}

}  // namespace skipbench
