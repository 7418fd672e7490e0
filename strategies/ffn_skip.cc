// ffn_skip: Jaiswal et al. 2024, "FFN-SkipLLM: A Hidden Gem for Autoregressive Decoding with
// Adaptive Feed Forward Skipping", arXiv 2404.03865. Hidden states settle in the middle layers:
// once a token's state is nearly the same before and after an MLP, the MLPs of the middle layers
// above are skipped for it. Attention always runs, so that no key or value is ever missing. Layers
// at both ends run whole, and so do the first decoding steps where warmup_steps says so.
#include <algorithm>

#include "engine/base/error.h"
#include "strategies/params.h"
#include "strategies/strategy.h"

namespace skipbench {
namespace {

class FfnSkip final : public SkipStrategy {
 public:
  explicit FfnSkip(SkipRule rule) : rule_(rule) {}

  const SkipRule* rule() const override { return &rule_; }
  // Every step writes every key and value.
  bool sets_can_grow() const override { return false; }

 private:
  SkipRule rule_;
};

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  SkipRule rule{.action = RuleAction::kSkipMlps, .signal = ExitSignal::kCosine};
  rule.threshold_lambda = param_threshold(spec, num_layers, "0.99");
  rule.min_layer = param_integer(spec, "first_layers", 1, 1, num_layers);
  const int left = num_layers - rule.min_layer;
  rule.last_layers = param_integer(spec, "last_layers", std::min(1, left), 0, left);
  rule.warmup_steps = param_integer(spec, "warmup_steps", 0, 0, 1 << 20);
  rule.rows_done = param_rows_done(spec);
  return std::make_unique<FfnSkip>(rule);
}

}  // namespace

StrategyInfo describe_ffn_skip() {
  return {
      .name = "ffn_skip",
      .summary =
          "each token skips the MLPs of the middle layers once one hardly changes its "
          "state; attention always runs",
      .paper = "Jaiswal et al. 2024 (FFN-SkipLLM), arXiv 2404.03865",
      .kv_policy = "always written",
      .is_dynamic = true,
      .params = {{"threshold", "calibrated", "[0, 1]",
                  "MLPs are skipped once the cosine of the states before and after one exceeds it; "
                  "at most half a layer for each middle layer but the first can be saved, so a "
                  "budget near N / 2 is out of reach and a sweep then takes the least"},
                 {"first_layers", "1", "[1, N]", "layers at the bottom that always run whole"},
                 {"last_layers", "1", "[0, N - first_layers]", "and at the top"},
                 {"warmup_steps", "0", "[0, 1048576]", "decoding steps that skip nothing"},
                 {"batch", "auto", "auto, wait, compact",
                  "rows that skip an MLP which others need go along frozen, or leave its batch; "
                  "auto: compact"}},
      .make = make};
}

}  // namespace skipbench
