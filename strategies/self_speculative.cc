// self_speculative: lossless. The layers that `unified` keeps draft tokens, the whole model checks
// them in one pass and keeps those that it would have made itself: Zhang et al. 2023, "Draft &
// Verify: Lossless Large Language Model Acceleration via Self-Speculative Decoding", arXiv
// 2309.08168, with unified's layers in the place of a searched set.
#include <algorithm>

#include "strategies/params.h"
#include "strategies/strategy.h"

namespace skipbench {
namespace {

class SelfSpeculative final : public SkipStrategy {
 public:
  explicit SelfSpeculative(Speculation speculation) : speculation_(speculation) {}

  // What a token's distribution comes from are all layers, which is what the interface's defaults
  // say of prompt and steps.
  const Speculation* speculation() const override { return &speculation_; }

 private:
  Speculation speculation_;
};

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  StrategySpec drafting{.name = "unified", .target = spec.target, .where = spec.where};
  if (has_param(spec, "spacing")) drafting.params["spacing"] = spec.params.at("spacing");
  Speculation speculation;
  speculation.draft = make_strategy(drafting, num_layers)->step_layers(num_layers, 0);
  speculation.most = param_integer(spec, "most_drafted", 8, 1, 64);
  speculation.first =
      param_integer(spec, "first_drafted", std::min(4, speculation.most), 1, speculation.most);
  speculation.stop_below = param_number(spec, "stop_below", 0.0, 0.0, 1.0);
  return std::make_unique<SelfSpeculative>(speculation);
}

}  // namespace

StrategyInfo describe_self_speculative() {
  return {
      .name = "self_speculative",
      .summary = "unified's layers draft, the whole model checks: the output is that of full",
      .paper =
          "Zhang et al. 2023 (Draft & Verify), arXiv 2309.08168; Liu et al. 2024, arXiv "
          "2404.06954",
      .kv_policy = "all layers: a check writes what a draft has left out",
      .params = {{"spacing", "authors", "authors, even", "of the drafting layers, as unified's"},
                 {"most_drafted", "8", "[1, 64]", "tokens drafted in a round at most"},
                 {"first_drafted", "min(4, most_drafted)", "[1, most_drafted]",
                  "in a text's first round; then two more after a round that was accepted "
                  "whole, one less after another"},
                 {"stop_below", "0", "[0, 1]",
                  "a draft ends after a token if the most probable one had less probability than "
                  "this (at temperature 1)"}},
      .make = make};
}

}  // namespace skipbench
