#include "strategies/listed_layers.h"

#include <fmt/format.h>

#include "engine/base/error.h"
#include "strategies/params.h"

namespace skipbench {

LayerSet listed_layers(const StrategySpec& spec, int num_layers) {
  const bool whole = has_param(spec, "layers");
  const bool halves = has_param(spec, "attention") && has_param(spec, "mlp");
  if (whole == (has_param(spec, "attention") || has_param(spec, "mlp")) || whole == halves) {
    throw Error({.what = fmt::format("strategy '{}' needs to know which layers run", spec.name),
                 .where = spec.where.empty() ? "--strategy " + spec.name : spec.where,
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
    throw Error({.what = fmt::format("strategy '{}' runs no layer at all", spec.name),
                 .where = spec.params.at(whole ? "layers" : "attention").where,
                 .expected = "at least one attention or MLP"});
  }
  return set;
}

}  // namespace skipbench
