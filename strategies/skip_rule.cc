#include <algorithm>
#include <cmath>

#include "strategies/strategy.h"

namespace skipbench {

double SkipRule::threshold(int step) const {
  if (step < warmup_steps) return 1.0;
  if (decay_tau == 0.0 || decay_length == 0) return threshold_lambda;
  const double decayed =
      0.9 * threshold_lambda + 0.1 * threshold_lambda * std::exp(-decay_tau * step / decay_length);
  return std::clamp(decayed, 0.0, 1.0);
}

bool SkipRule::tests_after(int layer, int num_layers) const {
  const int layers_run = layer + 1;
  // Confidence never exceeds 1.
  const bool can_exit = threshold_lambda < 1.0 || decay_tau > 0.0 || !depths.empty();
  if (action == RuleAction::kSkipMlps) {  // behind the last of them there is nothing to skip
    return can_exit && layer >= min_layer && layers_run < num_layers - last_layers;
  }
  return can_exit && layers_run >= min_layer && (layers_run - min_layer) % interval == 0 &&
         layers_run < num_layers;
}

bool SkipRule::stops(int layers_run, int step, int64_t text, double confidence) const {
  if (depths.empty()) return confidence > threshold(step);
  return layers_run >= depths[static_cast<size_t>(replayed_entry(step, text, std::ssize(depths)))];
}

}  // namespace skipbench
