// skip_decode: Del Corro et al. 2023, "SkipDecode: Autoregressive Skip Decoding with Batching and
// Caching for Efficient LLM Inference", arXiv 2307.02628, section 3. The number of layers falls
// linearly with the position, the same for all rows; layers are skipped from the bottom, after the
// warm-up layers. No official code or table of budgets is public: the least and the most layers are
// chosen here so that their mean is K.
#include "strategies/skip_decode.h"

#include <algorithm>
#include <cmath>

#include "strategies/params.h"

namespace skipbench {
namespace {

class SkipDecode final : public SkipStrategy {
 public:
  explicit SkipDecode(DecodeSchedule schedule) : schedule_(schedule) {}

  LayerSet step_layers(int num_layers, int step) const override {
    LayerSet set = LayerSet::none(num_layers);
    const int active = active_layers(step);
    for (int layer = 0; layer < num_layers; ++layer) {
      const bool top = layer >= num_layers - (active - schedule_.warmup);
      set.set_layer(layer, layer < schedule_.warmup || top);
    }
    return set;
  }
  // Later sets are parts of earlier ones, so that no step misses an entry of the cache either.
  bool sets_can_grow() const override { return false; }

 private:
  // most - (most - least) * step / (expected_length - 1), halves rounded up. At a whole
  // expected_length a half is exact: a quotient that a double can hold is not rounded.
  int active_layers(int step) const {
    const double last = schedule_.expected_length - 1;
    if (step >= last) return schedule_.least;
    const double fallen = static_cast<double>(schedule_.most - schedule_.least) * step / last;
    return static_cast<int>(std::floor(schedule_.most - fallen + 0.5));
  }

  DecodeSchedule schedule_;
};

// Where the number of layers never falls, the length does not matter.
std::optional<CalibratedParam> calibrates(const StrategySpec& spec, int num_layers) {
  const DecodeSchedule schedule = decode_schedule(spec, num_layers);
  if (schedule.least == schedule.most || has_param(spec, "expected_length")) return std::nullopt;
  return CalibratedParam{"expected_length", "64"};
}

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  return std::make_unique<SkipDecode>(decode_schedule(spec, num_layers));
}

}  // namespace

DecodeSchedule decode_schedule(const StrategySpec& spec, int num_layers) {
  const int budget = layer_budget(num_layers, spec.target, spec.where);
  DecodeSchedule schedule;
  // At least one layer at the top; the parameter's default gives way where K leaves no room.
  const int most_warmup = std::max(0, budget - 1);
  schedule.warmup = param_integer(spec, "warmup_layers", std::min(1, most_warmup), 0, most_warmup);
  const int lowest = std::min(budget, std::max(schedule.warmup + 1, 2 * budget - num_layers));
  schedule.least = param_integer(spec, "min_layers", lowest, lowest, budget);
  schedule.most = 2 * budget - schedule.least;
  schedule.expected_length = param_number(spec, "expected_length", 64, 2, 1 << 20);
  return schedule;
}

StrategyInfo describe_skip_decode() {
  return {
      .name = "skip_decode",
      .summary = "fewer layers with every step, the bottom skipped, the same for all rows",
      .paper = "Del Corro et al. 2023 (SkipDecode), arXiv 2307.02628",
      .kv_policy = "absent (never read: a layer once skipped stays skipped)",
      .needs_training = true,
      .params = {{"expected_length", "64", "[2, 1048576]",
                  "steps (need not be whole) over which the layers fall from 2K - min_layers to min_layers; the "
                  "number at a step is rounded half up; a sweep finds it on the calibration split"},
                 {.name = "min_layers",
                  .default_text = "max(warmup_layers + 1, 2K - N)",
                  .range = "[its default, K]",
                  .help = "layers from expected_length on; K: the same number at every step; "
                          "`skipbench search` finds the one with the best texts",
                  .is_searched = true},
                 {"warmup_layers", "1", "[0, K - 1]", "layers at the bottom that always run"}},
      .make = make,
      .calibrates = calibrates};
}

}  // namespace skipbench
