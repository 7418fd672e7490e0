#include "eval/calibration.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "engine/base/error.h"

namespace skipbench {
namespace {

constexpr double kTolerance = 0.01;  // of K
// 2^-20 of the threshold's range: below that the budget is a step between two texts' confidences.
constexpr int kMostPasses = 20;

class BudgetAt {
 public:
  BudgetAt(Decoder& decoder, const StrategySpec& spec, std::span<const ScoreRequest> data,
           int64_t batch_size)
      : decoder_(decoder), spec_(spec), data_(data), batch_size_(batch_size) {}

  double operator()(double threshold) {
    spec_.params["threshold"] = {fmt::format("{}", threshold), "calibration"};
    const auto strategy = make_strategy(spec_, decoder_.model().config().num_layers);
    std::vector<LayersPerToken> layers;
    for (int64_t begin = 0; begin < std::ssize(data_); begin += batch_size_) {
      const int64_t count = std::min(batch_size_, std::ssize(data_) - begin);
      const auto part = data_.subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
      for (ScoreOutput& output : decoder_.score(part, *strategy, {.log_probs = false})) {
        layers.push_back(std::move(output.layers_per_token));
      }
    }
    return realised_budget(layers);
  }

 private:
  Decoder& decoder_;
  StrategySpec spec_;
  std::span<const ScoreRequest> data_;
  int64_t batch_size_;
};

void check_has_step(const StrategySpec& spec, std::span<const ScoreRequest> data,
                    const std::string& what) {
  for (const ScoreRequest& request : data) {
    if (request.continuation.size() > 1) return;
  }
  throw Error(
      {.what = fmt::format("strategy '{}' has no text to calibrate its {} on", spec.name, what),
       .where = spec.where,
       .expected = "at least one calibration text of two tokens or more",
       .hint = "give the dataset a `calibration` split or lower its `limit`"});
}

}  // namespace

Calibration calibrate_length(const StrategySpec& spec, const std::string& parameter, int num_layers,
                             std::span<const ScoreRequest> data, int lowest, int highest) {
  check_has_step(spec, data, parameter);
  // [t]: texts that have step t.
  std::vector<double> texts_at_step;
  double steps = 0;
  for (const ScoreRequest& request : data) {
    const size_t count = request.continuation.size() - 1;
    if (texts_at_step.size() < count) texts_at_step.resize(count);
    for (size_t t = 0; t < count; ++t) ++texts_at_step[t];
    steps += static_cast<double>(count);
  }
  const auto mean_at = [&](int value) {
    StrategySpec trial = spec;
    trial.params[parameter] = {std::to_string(value), "calibration"};
    const auto strategy = make_strategy(trial, num_layers);
    double layers = 0;
    for (size_t t = 0; t < texts_at_step.size(); ++t) {
      layers += texts_at_step[t] * strategy->step_layers(num_layers, static_cast<int>(t)).layers();
    }
    return layers / steps;
  };
  Calibration best{
      .parameter = parameter,
      .threshold = 0,
      .budget = static_cast<double>(layer_budget(num_layers, spec.target, spec.where))};
  const auto consider = [&](int value, double mean) {
    if (!best.value.empty() &&
        std::abs(mean - best.budget) >= std::abs(best.realised_budget - best.budget)) {
      return;
    }
    best.value = std::to_string(value);
    best.realised_budget = mean;
  };
  // The border between means below K and not: the nearest is one of its two sides.
  int low = lowest, high = highest;
  consider(low, mean_at(low));
  consider(high, mean_at(high));
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    const double mean = mean_at(middle);
    consider(middle, mean);
    (mean < best.budget ? low : high) = middle;
  }
  best.on_target = std::abs(best.realised_budget - best.budget) <= kTolerance * best.budget;
  return best;
}

Calibration calibrate_threshold(Decoder& decoder, const StrategySpec& spec,
                                std::span<const ScoreRequest> data, int64_t batch_size,
                                const std::function<void()>& on_pass) {
  check_has_step(spec, data, "threshold");
  const int num_layers = decoder.model().config().num_layers;
  Calibration best;
  best.budget = layer_budget(num_layers, spec.target, spec.where);
  if (best.budget == num_layers) {  // nothing is skipped: no test can end a token early
    best.realised_budget = num_layers;
    best.on_target = true;
    return best;
  }
  BudgetAt budget_at(decoder, spec, data, batch_size);
  best.realised_budget = num_layers;  // at threshold 1
  double low = 0.0;
  double high = 1.0;
  // The budget grows with the threshold. The first trial is 0, the least budget that there is.
  double threshold = low;
  while (best.passes < kMostPasses) {
    const double realised = budget_at(threshold);
    ++best.passes;
    if (on_pass) on_pass();
    if (std::abs(realised - best.budget) < std::abs(best.realised_budget - best.budget)) {
      best.threshold = threshold;
      best.realised_budget = realised;
    }
    if (std::abs(realised - best.budget) <= kTolerance * best.budget) break;
    if (realised > best.budget && threshold == low) break;  // even 0 runs more than K layers
    (realised < best.budget ? low : high) = threshold;
    threshold = (low + high) / 2;
  }
  best.on_target = std::abs(best.realised_budget - best.budget) <= kTolerance * best.budget;
  return best;
}

}  // namespace skipbench
