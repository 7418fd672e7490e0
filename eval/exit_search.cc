#include "eval/exit_search.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/error.h"

namespace skipbench {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::vector<int> first_layers(const ExitGrid& grid, int budget) {
  if (!grid.min_layers.empty()) return grid.min_layers;
  std::vector<int> layers = {1, budget / 2, 3 * budget / 4, budget - 1};
  for (int& layer : layers) layer = std::max(1, layer);
  std::sort(layers.begin(), layers.end());
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  return layers;
}

std::vector<StrategySpec> combinations(const StrategySpec& base, const ExitGrid& grid,
                                       int num_layers) {
  const int budget = layer_budget(num_layers, base.target, base.where);
  if (base.name != "early_exit" || budget == num_layers) {
    throw Error({.what = "nothing to search",
                 .where = base.where.empty() ? "--target" : base.where,
                 .expected = "early_exit at a target at which layers are skipped",
                 .got = fmt::format("{} at {} of {} layers", base.name, budget, num_layers)});
  }
  std::vector<StrategySpec> specs;
  for (const std::string& signal : grid.signals) {
    std::vector<int> tried;
    for (int layer : first_layers(grid, budget)) {
      // States are compared from the second layer on.
      if (signal == "cosine" && grid.min_layers.empty()) layer = std::max(2, layer);
      if (std::find(tried.begin(), tried.end(), layer) != tried.end()) continue;
      tried.push_back(layer);
      for (const int interval : grid.intervals) {
        StrategySpec& spec = specs.emplace_back(base);
        spec.params["signal"] = {signal, "search"};
        spec.params["min_layer"] = {std::to_string(layer), "search"};
        spec.params["exit_interval"] = {std::to_string(interval), "search"};
        StrategySpec checked = spec;
        checked.params["threshold"] = {"0.5", "search"};
        make_strategy(checked, num_layers);  // refuses what is out of range before anything runs
      }
    }
  }
  return specs;
}

// One turn over all prompts: tokens made by decoding steps per second of decoding.
double run_once(Decoder& decoder, const SkipStrategy& strategy, const CalibrationPrompts& data,
                double& test_share) {
  double tokens = 0, decode_us = 0, test_us = 0;
  const int64_t count = std::ssize(data.prompts);
  for (int64_t begin = 0; begin < count; begin += data.batch_size) {
    const int64_t rows = std::min(data.batch_size, count - begin);
    const auto part = data.prompts.subspan(static_cast<size_t>(begin), static_cast<size_t>(rows));
    GenerateOptions options = data.options;
    options.first_text = static_cast<int32_t>(begin);
    const BatchTimings timings = decoder.generate(part, strategy, options).timings;
    tokens += static_cast<double>(timings.decode_tokens);
    decode_us += timings.decode_us;
    test_us += timings.exit_test_us;
    if (data.on_batch) data.on_batch();
  }
  test_share = decode_us > 0 ? test_us / decode_us : 0;
  return decode_us > 0 ? 1e6 * tokens / decode_us : 0;
}

}  // namespace

std::vector<ExitCandidate> search_exits(Decoder& decoder, const StrategySpec& base,
                                        const ExitGrid& grid, const CalibrationPrompts& data,
                                        int repetitions, const SearchProgress& progress) {
  const int num_layers = decoder.model().config().num_layers;
  std::vector<ExitCandidate> candidates;
  const std::vector<StrategySpec> specs = combinations(base, grid, num_layers);
  for (const StrategySpec& spec : specs) {
    ExitCandidate& candidate = candidates.emplace_back();
    candidate.spec = spec;
    candidate.calibration = calibrate_threshold(decoder, spec, data);
    candidate.spec.params["threshold"] = {fmt::format("{}", candidate.calibration.threshold),
                                          "search"};
    if (progress) progress("combinations calibrated", candidates.size(), specs.size());
  }
  for (int turn = 0; turn <= repetitions; ++turn) {
    for (ExitCandidate& candidate : candidates) {
      if (!candidate.calibration.on_target) continue;
      const auto strategy = make_strategy(candidate.spec, num_layers);
      const double speed = run_once(decoder, *strategy, data, candidate.test_share);
      if (turn > 0) candidate.tokens_per_second.push_back(speed);
    }
    if (progress) {
      progress("turns decoded", static_cast<size_t>(turn) + 1,
               static_cast<size_t>(repetitions) + 1);
    }
  }
  for (ExitCandidate& candidate : candidates) {
    if (candidate.tokens_per_second.empty()) continue;
    candidate.median_tokens_per_second = median(candidate.tokens_per_second);
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const ExitCandidate& a, const ExitCandidate& b) {
                     return a.median_tokens_per_second > b.median_tokens_per_second;
                   });
  return candidates;
}

}  // namespace skipbench
