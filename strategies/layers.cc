// layers: the sublayers that a list names, for what a search or a paper gives.
#include <fmt/format.h>

#include "engine/base/error.h"
#include "strategies/constant_sets.h"
#include "strategies/params.h"

namespace skipbench {
namespace {

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  const bool whole = has_param(spec, "layers");
  const bool halves = has_param(spec, "attention") && has_param(spec, "mlp");
  if (whole == (has_param(spec, "attention") || has_param(spec, "mlp")) || whole == halves) {
    throw Error({.what = "strategy 'layers' needs to know which layers run",
                 .where = spec.where.empty() ? "--strategy layers" : spec.where,
                 .expected = fmt::format("`layers`, or both `attention` and `mlp`: lists of layers "
                                         "in [0, {}]",
                                         num_layers - 1),
                 .hint = "for example layers=0-5,9,12"});
  }
  LayerSet set = LayerSet::none(num_layers);
  if (whole) {
    set = LayerSet::of(num_layers, param_layers(spec, "layers", num_layers));
  } else {
    for (int layer : param_layers(spec, "attention", num_layers)) set.set_attention(layer, true);
    for (int layer : param_layers(spec, "mlp", num_layers)) set.set_mlp(layer, true);
  }
  if (set.layers() == 0) {
    throw Error({.what = "strategy 'layers' runs no layer at all",
                 .where = spec.params.begin()->second.where,
                 .expected = "at least one attention or MLP"});
  }
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
