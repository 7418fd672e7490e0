#include "eval/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/base/error.h"
#include "eval/probe/layer_statistics.h"
#include "strategies/adaskip.h"

namespace skipbench {
namespace {

constexpr int kParts = 1000;  // of a length that is not whole
// 2^-20 of the threshold's range: below that the budget is a step between two texts' confidences.
constexpr int kMostPasses = 20;
// Around the border that bisection ends at.
constexpr double kNearest = 0x1p-12;
constexpr double kFarthest = 0x1p-5;

class BudgetAt {
 public:
  BudgetAt(Decoder& decoder, const StrategySpec& spec, const CalibrationPrompts& data)
      : decoder_(decoder), spec_(spec), data_(data) {}

  double operator()(double threshold) {
    spec_.params["threshold"] = {fmt::format("{}", threshold), "calibration"};
    const auto strategy = make_strategy(spec_, decoder_.model().config().num_layers);
    std::vector<LayersPerToken> layers;
    const int64_t count = std::ssize(data_.prompts);
    for (int64_t begin = 0; begin < count; begin += data_.batch_size) {
      const int64_t rows = std::min(data_.batch_size, count - begin);
      const auto part =
          data_.prompts.subspan(static_cast<size_t>(begin), static_cast<size_t>(rows));
      GenerateOptions options = data_.options;
      options.first_text = static_cast<int32_t>(begin);
      for (GenerateOutput& output : decoder_.generate(part, *strategy, options).outputs) {
        layers.push_back(std::move(output.layers_per_token));
      }
      if (data_.on_batch) data_.on_batch();
    }
    if (std::none_of(layers.begin(), layers.end(),
                     [](const LayersPerToken& text) { return text.size() > 1; })) {
      throw Error({.what = fmt::format("strategy '{}' has nothing to calibrate its threshold on",
                                       spec_.name),
                   .where = spec_.where,
                   .expected = "a text with a decoding step",
                   .got = "texts that end with the prefill's token"});
    }
    return realised_budget(layers);
  }

 private:
  Decoder& decoder_;
  StrategySpec spec_;
  const CalibrationPrompts& data_;
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

// The lengths of texts, for strategies whose sets depend on the step alone.
class Lengths {
 public:
  explicit Lengths(std::span<const ScoreRequest> data) {
    for (const ScoreRequest& request : data) {
      const size_t count = request.continuation.empty() ? 0 : request.continuation.size() - 1;
      if (texts_at_step_.size() < count) texts_at_step_.resize(count);
      for (size_t t = 0; t < count; ++t) ++texts_at_step_[t];
      steps_ += static_cast<double>(count);
    }
  }

  // Layers per decoding step with one parameter set.
  double mean_layers(StrategySpec spec, const std::string& parameter, const std::string& value,
                     int num_layers) const {
    spec.params[parameter] = {value, "calibration"};
    const auto strategy = make_strategy(spec, num_layers);
    double layers = 0;
    for (size_t t = 0; t < texts_at_step_.size(); ++t) {
      layers += texts_at_step_[t] * strategy->step_layers(num_layers, static_cast<int>(t)).layers();
    }
    return layers / steps_;
  }

 private:
  std::vector<double> texts_at_step_;  // [t]: texts that have step t
  double steps_ = 0;
};

bool is_on_target(const Calibration& found) {
  return std::abs(found.realised_budget - found.budget) <= kBudgetTolerance * found.budget;
}

}  // namespace

Calibration calibrate_adaskip(Model& model, const StrategySpec& spec,
                              std::span<const ScoreRequest> data, int64_t batch_size,
                              const std::function<void()>& on_pass) {
  check_has_step(spec, data, "scores");
  const int num_layers = model.config().num_layers;
  AdaSkipScores scores;
  LayerProbe(model, data, batch_size, on_pass).measure_sublayers(scores.layers);
  std::vector<int64_t> steps;
  for (const ScoreRequest& request : data) steps.push_back(std::ssize(request.continuation) - 1);
  scores.late_share = late_share(steps, adaskip_early_steps(spec));
  Calibration found{
      .parameter = "scores",
      .value = adaskip_scores_json(scores),
      .threshold = 0,
      .budget = static_cast<double>(layer_budget(num_layers, spec.target, spec.where)),
      .passes = 1};
  found.realised_budget = Lengths(data).mean_layers(spec, "scores", found.value, num_layers);
  found.on_target = is_on_target(found);
  return found;
}

Calibration calibrate_length(const StrategySpec& spec, const std::string& parameter, int num_layers,
                             std::span<const ScoreRequest> data, int64_t lowest, int64_t highest) {
  check_has_step(spec, data, parameter);
  const Lengths lengths(data);
  Calibration best{
      .parameter = parameter,
      .threshold = 0,
      .budget = static_cast<double>(layer_budget(num_layers, spec.target, spec.where))};
  // The mean at `count` / `parts`.
  const auto mean_at = [&](int64_t count, int parts) {
    const std::string value = fmt::format("{}", static_cast<double>(count) / parts);
    const double mean = lengths.mean_layers(spec, parameter, value, num_layers);
    if (best.value.empty() ||
        std::abs(mean - best.budget) < std::abs(best.realised_budget - best.budget)) {
      best.value = value;
      best.realised_budget = mean;
    }
    return mean;
  };
  // The lower side of the border between means below K and not; the nearest is one of its sides.
  const auto border = [&](int64_t low, int64_t high, int parts) {
    mean_at(low, parts);
    mean_at(high, parts);
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (mean_at(middle, parts) < best.budget ? low : high) = middle;
    }
    return low;
  };
  const int64_t whole = border(lowest, highest, 1);
  if (!is_on_target(best)) border(whole * kParts, (whole + 1) * kParts, kParts);
  best.on_target = is_on_target(best);
  return best;
}

Calibration calibrate_threshold(Decoder& decoder, const StrategySpec& spec,
                                const CalibrationPrompts& data) {
  if (data.prompts.empty() || data.options.max_new_tokens < 2) {
    throw Error(
        {.what = fmt::format("strategy '{}' has nothing to calibrate its threshold on", spec.name),
         .where = spec.where,
         .expected = "a prompt, and at least 2 new tokens: the prefill makes the first",
         .got = fmt::format("{} prompts, {} new tokens", data.prompts.size(),
                            data.options.max_new_tokens)});
  }
  const int num_layers = decoder.model().config().num_layers;
  Calibration best;
  best.budget = layer_budget(num_layers, spec.target, spec.where);
  if (best.budget == num_layers) {  // nothing is skipped: no test can end a token early
    best.realised_budget = num_layers;
    best.on_target = true;
    return best;
  }
  BudgetAt budget_at(decoder, spec, data);
  best.realised_budget = num_layers;  // at threshold 1
  const auto try_at = [&](double threshold) {
    const double realised = budget_at(threshold);
    ++best.passes;
    if (std::abs(realised - best.budget) < std::abs(best.realised_budget - best.budget)) {
      best.threshold = threshold;
      best.realised_budget = realised;
    }
    return realised;
  };
  // At 0 every row passes its first test: where that is more than K layers already, K is out of
  // reach.
  if (try_at(0.0) < best.budget) {
    double low = 0.0;
    double high = 1.0;
    while (best.passes < kMostPasses && !is_on_target(best)) {
      const double threshold = (low + high) / 2;
      (try_at(threshold) < best.budget ? low : high) = threshold;
    }
    // On the same tokens the budget grows with the threshold. Here each threshold makes tokens of
    // its own: the growth is a tendency with jumps, bisection may end at one, and thresholds on
    // either side of it may still be on target.
    const double border = best.threshold;
    for (double distance = kNearest; distance <= kFarthest && !is_on_target(best); distance *= 2) {
      for (const double threshold : {border - distance, border + distance}) {
        if (threshold > 0 && threshold < 1 && !is_on_target(best)) try_at(threshold);
      }
    }
  }
  best.on_target = is_on_target(best);
  return best;
}

}  // namespace skipbench
