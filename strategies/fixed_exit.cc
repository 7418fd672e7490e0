// fixed_exit: the first K layers for every token, then the head: early exit at one depth for all,
// as the shallow exits of Elhoushi et al. 2024 ("LayerSkip", arXiv 2404.16710, section 3.3).
#include <numeric>

#include "strategies/constant_sets.h"

namespace skipbench {
namespace {

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  std::vector<int> layers(static_cast<size_t>(layer_budget(num_layers, spec.target, spec.where)));
  std::iota(layers.begin(), layers.end(), 0);
  return std::make_unique<ConstantSets>(LayerSet::all(num_layers),
                                        LayerSet::of(num_layers, layers));
}

}  // namespace

StrategyInfo describe_fixed_exit() {
  return {.name = "fixed_exit",
          .summary = "the first K layers for every token; the top is skipped",
          .paper = "Elhoushi et al. 2024 (LayerSkip), arXiv 2404.16710",
          .kv_policy = "absent (never read: the set is constant)",
          .needs_training = true,
          .params = {},
          .make = make};
}

}  // namespace skipbench
