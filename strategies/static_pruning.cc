// static_pruning: N - K layers are removed from the model, for prompts too. Which ones: an order of
// removal that is given, as papers print it (Men et al. 2024, "ShortGPT", arXiv 2403.03853).
#include <fmt/format.h>

#include "engine/base/error.h"
#include "strategies/constant_sets.h"
#include "strategies/params.h"

namespace skipbench {
namespace {

LayerSet without(int num_layers, const std::vector<int>& removed) {
  LayerSet set = LayerSet::all(num_layers);
  for (int layer : removed) set.set_layer(layer, false);
  return set;
}

// The first `count` of the list `order`.
std::vector<int> listed_removals(const StrategySpec& spec, int num_layers, int count) {
  if (count == 0 && !has_param(spec, "order")) return {};
  std::vector<int> order = param_layers(spec, "order", num_layers);
  if (std::ssize(order) < count) {
    const bool given = has_param(spec, "order");
    throw Error({.what = "static_pruning needs an order of removal that is long enough",
                 .where = given                ? spec.params.at("order").where
                          : spec.where.empty() ? "--strategy static_pruning"
                                               : spec.where,
                 .expected = fmt::format("`order`: at least {} layers in [0, {}], the first to go "
                                         "first",
                                         count, num_layers - 1),
                 .got = fmt::format("{}", order.size())});
  }
  order.resize(static_cast<size_t>(count));
  return order;
}

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  const int budget = layer_budget(num_layers, spec.target, spec.where);
  param_choice(spec, "method", {"list"}, 0);
  const bool full_prefill = param_choice(spec, "prefill", {"pruned", "full"}, 0) == 1;
  const LayerSet set = without(num_layers, listed_removals(spec, num_layers, num_layers - budget));
  return std::make_unique<ConstantSets>(full_prefill ? LayerSet::all(num_layers) : set, set);
}

}  // namespace

StrategyInfo describe_static_pruning() {
  return {
      .name = "static_pruning",
      .summary = "layers are gone, for prompts too",
      .paper = "Men et al. 2024 (ShortGPT), arXiv 2403.03853",
      .kv_policy = "absent (a removed layer has no cache at all)",
      .needs_training = true,
      .params = {{"method", "list", "list", "how the layers to remove are found"},
                 {"order", "", "layers in [0, N - 1]",
                  "list: the layers in the order of removal, at least N - K of them"},
                 {"prefill", "pruned", "pruned, full", "whether prompts lose the layers as well"}},
      .make = make};
}

}  // namespace skipbench
