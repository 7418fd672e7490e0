#include "eval/schedule_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/base/error.h"
#include "eval/calibration.h"
#include "strategies/skip_decode.h"

namespace skipbench {
namespace {

constexpr int kMostTried = 16;
constexpr int64_t kLongest = 1 << 20;  // the greatest expected_length

// Throws Error unless there is more than one schedule to choose from.
std::vector<int> default_values(const StrategySpec& base, int num_layers) {
  const DecodeSchedule steepest = decode_schedule(base, num_layers);
  const int budget = (steepest.most + steepest.least) / 2;
  if (base.name != "skip_decode" || steepest.least == budget) {
    throw Error({.what = "nothing to search",
                 .where = base.where.empty() ? "--target" : base.where,
                 .expected = "skip_decode at a target with several values of min_layers",
                 .got = fmt::format("{} at {} of {} layers, where min_layers is {}", base.name,
                                    budget, num_layers, steepest.least),
                 .hint = "another --target, or fewer warmup_layers"});
  }
  const int steps = std::min(budget - steepest.least, kMostTried - 1);
  std::vector<int> values;
  for (int i = 0; i <= steps; ++i) {
    values.push_back(steepest.least + (budget - steepest.least) * i / steps);
  }
  return values;
}

std::vector<ScheduleCandidate> make_candidates(const StrategySpec& base,
                                               std::span<const int> min_layers, int num_layers,
                                               std::span<const ScoreRequest> texts) {
  std::vector<int> values = default_values(base, num_layers);
  if (!min_layers.empty()) values.assign(min_layers.begin(), min_layers.end());
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  std::vector<ScheduleCandidate> candidates;
  for (const int value : values) {
    ScheduleCandidate& candidate = candidates.emplace_back();
    candidate.spec = base;
    candidate.spec.params["min_layers"] = {std::to_string(value), "--min-layers"};
    const DecodeSchedule schedule = decode_schedule(candidate.spec, num_layers);
    candidate.min_layers = schedule.least;
    candidate.max_layers = schedule.most;
    // At the flattest schedule the length does not matter; any value is on target there.
    candidate.calibration =
        calibrate_length(candidate.spec, "expected_length", num_layers, texts, 2, kLongest);
    if (schedule.least < schedule.most) {
      candidate.spec.params["expected_length"] = {candidate.calibration.value, "search"};
    }
  }
  return candidates;
}

void measure(Decoder& decoder, const ScheduleTexts& data, ScheduleCandidate& candidate) {
  const auto strategy = make_strategy(candidate.spec, decoder.model().config().num_layers);
  std::vector<LayersPerToken> layers;
  double loss = 0;
  int64_t tokens = 0;
  const int64_t count = std::ssize(data.texts);
  for (int64_t begin = 0; begin < count; begin += data.batch_size) {
    const int64_t rows = std::min(data.batch_size, count - begin);
    const auto part = data.texts.subspan(static_cast<size_t>(begin), static_cast<size_t>(rows));
    for (ScoreOutput& output : decoder.score(part, *strategy)) {
      for (const double log_prob : output.log_probs) loss -= log_prob;
      tokens += std::ssize(output.log_probs);
      layers.push_back(std::move(output.layers_per_token));
    }
    if (data.on_batch) data.on_batch();
  }
  candidate.realised_budget = realised_budget(layers);
  const Calibration& found = candidate.calibration;
  candidate.within_budget = found.on_target || candidate.realised_budget <= found.budget;
  if (data.score) {
    const ScheduleTexts::Score own = data.score(*strategy);
    candidate.score = own.value;
    candidate.decoded_layers = own.layers;
    // A text that ends early has run the schedule's many layers alone.
    if (own.layers > (1 + kBudgetTolerance) * found.budget) candidate.within_budget = false;
  }
  candidate.loss = loss / static_cast<double>(tokens);
  if (std::isfinite(candidate.loss)) return;
  throw Error({.what = "the model's log-probabilities are not finite",
               .where = fmt::format("skip_decode with min_layers {}", candidate.min_layers),
               .expected = "finite numbers",
               .got = fmt::format("a mean of -log p of {}", candidate.loss),
               .hint = "a wider dtype (f32 or bf16 instead of f16) may help"});
}

}  // namespace

std::vector<ScheduleCandidate> search_schedules(Decoder& decoder, StrategySpec base,
                                                std::span<const int> min_layers,
                                                const ScheduleTexts& data) {
  base.params.erase("min_layers");
  base.params.erase("expected_length");
  auto candidates =
      make_candidates(base, min_layers, decoder.model().config().num_layers, data.texts);
  for (size_t i = 0; i < candidates.size(); ++i) {
    measure(decoder, data, candidates[i]);
    if (data.progress) data.progress("schedules measured", i + 1, candidates.size());
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const ScheduleCandidate& a, const ScheduleCandidate& b) {
                     if (a.within_budget != b.within_budget) return a.within_budget;
                     if (!a.score || *a.score == *b.score) return a.loss < b.loss;
                     return data.higher_is_better ? *a.score > *b.score : *a.score < *b.score;
                   });
  return candidates;
}

}  // namespace skipbench
