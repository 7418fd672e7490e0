// The registry of strategies: a new one is a source file, a declaration and a line here.
#include "strategies/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/base/error.h"

namespace skipbench {

StrategyInfo describe_full();
StrategyInfo describe_unified();
StrategyInfo describe_early_exit();
StrategyInfo describe_fixed_exit();
StrategyInfo describe_skip_decode();
StrategyInfo describe_static_pruning();
StrategyInfo describe_adaskip();
StrategyInfo describe_ffn_skip();
StrategyInfo describe_random();
StrategyInfo describe_self_speculative();
StrategyInfo describe_layers();

namespace {

std::vector<StrategyInfo>& registry() {
  static std::vector<StrategyInfo> table = {
      describe_full(),        describe_unified(),
      describe_early_exit(),  describe_fixed_exit(),
      describe_skip_decode(), describe_static_pruning(),
      describe_adaskip(),     describe_ffn_skip(),
      describe_random(),      describe_self_speculative(),
      describe_layers(),
  };
  return table;
}

}  // namespace

std::span<const StrategyInfo> strategy_table() { return registry(); }

void register_strategy(StrategyInfo info, const std::string& where) {
  for (const StrategyInfo& known : registry()) {
    if (known.name != info.name) continue;
    throw Error({.what = fmt::format("a strategy named '{}' is there already", info.name),
                 .where = where,
                 .expected = "a name of its own",
                 .got = known.plugin.empty() ? "a built-in one" : "the one of " + known.plugin});
  }
  registry().push_back(std::move(info));
}

const StrategyInfo& find_strategy(std::string_view name, const std::string& where) {
  std::vector<std::string> known;
  for (const StrategyInfo& info : strategy_table()) {
    if (info.name == name) return info;
    known.push_back(info.name);
  }
  throw unknown_name("strategy", name, known, where);
}

int layer_budget(int num_layers, double target, const std::string& where) {
  const double highest = std::max(1.0, num_layers / 2.0);
  if (!(target >= 1.0 && target <= highest)) {  // so written that NaN is refused
    throw Error({.what = fmt::format("target speedup out of range for {} layers", num_layers),
                 .where = where,
                 .expected = fmt::format("a number in [1, {}]", highest),
                 .got = fmt::format("{}", target)});
  }
  if (num_layers == 1) return 1;
  return std::max(2, static_cast<int>(std::floor(num_layers / target)));
}

std::unique_ptr<SkipStrategy> make_strategy(const StrategySpec& spec, int num_layers) {
  const StrategyInfo& info =
      find_strategy(spec.name, spec.where.empty() ? "--strategy" : spec.where);
  if (num_layers < 1 || num_layers > LayerSet::kMaxLayers) {
    throw Error({.what = "number of layers out of range",
                 .expected = fmt::format("1 to {}", LayerSet::kMaxLayers),
                 .got = fmt::format("{}", num_layers)});
  }
  std::vector<std::string> known;
  for (const ParamInfo& param : info.params) known.push_back(param.name);
  for (const auto& [name, value] : spec.params) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    if (known.empty()) {
      throw Error({.what = fmt::format("strategy '{}' takes no parameters", info.name),
                   .where = value.where,
                   .got = "'" + name + "'"});
    }
    throw unknown_name("parameter of strategy '" + info.name + "':", name, known, value.where);
  }
  auto strategy = info.make(spec, num_layers);
  // A plug-in's may be anything; the engine takes these for granted.
  const auto require = [&](bool holds, const char* expected) {
    if (holds) return;
    throw Error({.what = fmt::format("strategy '{}' breaks the interface", info.name),
                 .where = info.plugin.empty() ? spec.where : info.plugin,
                 .expected = expected});
  };
  require(strategy != nullptr, "a strategy");
  const auto scales = strategy->skip_scales();
  require(scales.empty() || std::ssize(scales) == 2 * num_layers, "2 N skip_scales, or none");
  const SkipRule* rule = strategy->rule();
  require(
      rule == nullptr || (rule->interval >= 1 && rule->min_layer >= 0 && rule->last_layers >= 0),
      "a rule with interval >= 1 and no negative number of layers");
  require(rule == nullptr || rule->action != RuleAction::kSkipMlps || scales.empty(),
          "no skip_scales beside a rule that skips MLPs");
  return strategy;
}

StrategySpec with_new_tokens(StrategySpec spec, int max_new_tokens) {
  const StrategyInfo& info =
      find_strategy(spec.name, spec.where.empty() ? "--strategy" : spec.where);
  for (const ParamInfo& param : info.params) {
    const std::string& beside = param.new_tokens_beside;
    if (beside.empty() || !spec.params.contains(beside)) continue;
    spec.params.try_emplace(param.name,
                            ParamValue{std::to_string(max_new_tokens), "max_new_tokens"});
  }
  return spec;
}

std::optional<CalibratedParam> param_to_calibrate(const StrategySpec& spec, int num_layers) {
  const StrategyInfo& info = find_strategy(spec.name, spec.where);
  if (info.calibrates != nullptr) return info.calibrates(spec, num_layers);
  const bool skips = layer_budget(num_layers, spec.target, spec.where) < num_layers;
  if (!info.is_dynamic || !skips || spec.params.contains("threshold")) return std::nullopt;
  return CalibratedParam{"threshold", "0.5"};
}

}  // namespace skipbench
