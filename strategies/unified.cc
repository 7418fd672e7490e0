// unified: Liu et al. 2024, "Accelerating Inference in Large Language Models with a Unified Layer
// Skipping Strategy", arXiv 2404.06954, section 3. The target speedup alone decides how many layers
// run; they are spread over the depth and are the same for every sample and every token. Prompts
// run all layers.
#include <algorithm>
#include <cmath>

#include "strategies/params.h"
#include "strategies/strategy.h"

namespace skipbench {
namespace {

// The rule of the authors' published code (run_clm_llms.py of Adaxry/Unified_Layer_Skipping): the
// first and the last layer, then every interval-th one from the bottom until `budget` are kept.
std::vector<int> authors_layers(int num_layers, int budget) {
  std::vector<int> layers = {0};
  if (num_layers == 1) return layers;
  const int interval = num_layers / (budget - 1);
  for (int i = 1; i + 1 < num_layers && std::ssize(layers) + 1 < budget; ++i) {
    if (i % interval == 0) layers.push_back(i);
  }
  layers.push_back(num_layers - 1);
  return layers;
}

// `budget` points spread evenly over [0, N - 1], each rounded to the nearest layer.
std::vector<int> even_layers(int num_layers, int budget) {
  std::vector<int> layers = {0};
  for (int i = 1; i < budget; ++i) {
    layers.push_back(
        static_cast<int>(std::lround(static_cast<double>(i) * (num_layers - 1) / (budget - 1))));
  }
  return layers;
}

class Unified final : public SkipStrategy {
 public:
  explicit Unified(LayerSet set) : set_(set) {}

  LayerSet step_layers(int /*num_layers*/, int /*step*/) const override { return set_; }

 private:
  LayerSet set_;
};

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  const int budget = layer_budget(num_layers, spec.target, spec.where);
  const bool even = param_choice(spec, "spacing", {"authors", "even"}, 0) == 1;
  return std::make_unique<Unified>(LayerSet::of(
      num_layers, even ? even_layers(num_layers, budget) : authors_layers(num_layers, budget)));
}

}  // namespace

StrategyInfo describe_unified() {
  return {
      .name = "unified",
      .summary = "a balanced set of layers from the target alone, the same for every token",
      .paper = "Liu et al. 2024, arXiv 2404.06954",
      .kv_policy = "absent (never read: the set is constant)",
      .needs_training = true,
      .params = {{"spacing", "authors", "authors, even",
                  "authors: the published code's rule, whose interval is a whole number: what is "
                  "left over lies in one run below the last layer (30 layers at 1.5: 10 of "
                  "them); even: rounded even spacing"}},
      .make = make};
}

}  // namespace skipbench
