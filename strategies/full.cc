// full: every layer for every token, the baseline of every speedup.
#include "strategies/strategy.h"

namespace skipbench {
namespace {

class Full final : public SkipStrategy {};

std::unique_ptr<SkipStrategy> make(const StrategySpec& /*spec*/, int /*num_layers*/) {
  return std::make_unique<Full>();
}

}  // namespace

StrategyInfo describe_full() {
  return {.name = "full",
          .summary = "all layers for every token; the baseline",
          .paper = "",
          .kv_policy = "none skipped",
          .uses_target = false,
          .params = {},
          .make = make};
}

}  // namespace skipbench
