// layers: the sublayers that a list names, for what a search or a paper gives.
#include "strategies/constant_sets.h"
#include "strategies/listed_layers.h"
#include "strategies/params.h"

namespace skipbench {
namespace {

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  const LayerSet set = listed_layers(spec, num_layers);
  const bool pruned = param_choice(spec, "prefill", {"full", "same"}, 0) == 1;
  return std::make_unique<ConstantSets>(pruned ? set : LayerSet::all(num_layers), set);
}

}  // namespace

StrategyInfo describe_layers() {
  return {.name = "layers",
          .summary = "the layers, or the attentions and MLPs, of an explicit list",
          .paper = "",
          .kv_policy = "absent (never read: the set is constant)",
          .uses_target = false,
          .params = {{"layers", "", "layers in [0, N - 1]", "those that run, as 0-5,9,12"},
                     {"attention", "", "layers in [0, N - 1]",
                      "instead of `layers`: those whose attention runs; may be empty"},
                     {"mlp", "", "layers in [0, N - 1]", "and those whose MLP runs"},
                     {"prefill", "full", "full, same", "layers of the prompt: all, or the list's"}},
          .make = make};
}

}  // namespace skipbench
