#include "eval/sweep/parameter_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "datasets/postprocess.h"
#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "eval/metrics/response_metrics.h"
#include "eval/sweep/session.h"

namespace skipbench {
namespace {

constexpr size_t kExitPrompts = 16;  // each trial of a threshold decodes all of them

// The sweep's own entry of this strategy and target; null where it has none. What is replayed has
// nothing to search.
const Cell* find_cell(const SweepSetup& setup, size_t dataset, const StrategySpec& spec) {
  for (const Cell& cell : setup.cells) {
    if (cell.spec.name == spec.name && cell.dataset == dataset && cell.spec.target == spec.target &&
        cell.status == cell_status::kPending && !cell.spec.params.contains("depths")) {
      return &cell;
    }
  }
  return nullptr;
}

// Parameters that a search looks for, and the one that each candidate is calibrated by.
std::vector<std::string> searched_params(const StrategySpec& spec, int num_layers) {
  std::vector<std::string> names;
  StrategySpec bare = spec;
  bare.params.clear();
  for (const ParamInfo& param : find_strategy(spec.name).params) {
    if (param.is_searched) names.push_back(param.name);
  }
  if (const auto calibrated = param_to_calibrate(bare, num_layers)) {
    names.push_back(calibrated->name);
  }
  if (spec.name == "early_exit") names.emplace_back("depths");  // instead of a threshold
  return names;
}

StrategySpec base_spec(StrategySpec base, const Cell* cell, const SweepSetup& setup) {
  const auto searched = searched_params(base, setup.context.num_layers);
  for (const std::string& name : searched) {
    const auto given = base.params.find(name);
    if (given == base.params.end()) continue;
    throw Error({.what = fmt::format("parameter '{}' is what the search finds", name),
                 .where = given->second.where,
                 .expected = "parameters that are not searched",
                 .got = name + "=" + given->second.text,
                 .hint = "leave it out; `skipbench search --help` lists what can be narrowed"});
  }
  if (cell != nullptr) {
    base.params.insert(cell->spec.params.begin(), cell->spec.params.end());
    for (const std::string& name : searched) base.params.erase(name);
  }
  return with_new_tokens(std::move(base), setup.config.max_new_tokens);
}

// Null where the data set has no metric of texts.
const MetricSpec* first_text_metric(const DatasetSection& dataset) {
  for (const MetricSpec& spec : dataset.metrics) {
    if (find_response_metric(spec.name) == nullptr) return &spec;
  }
  return nullptr;
}

}  // namespace

ParameterSearch::ParameterSearch(const SweepSetup& setup, ParameterSearchRequest request)
    : setup_(setup),
      request_(std::move(request)),
      dataset_(find_dataset(setup.config, request_.dataset)),
      cell_(find_cell(setup, dataset_, request_.strategy)),
      base_(base_spec(request_.strategy, cell_, setup)),
      model_(cell_ == nullptr ? setup.loaded : setup.model_of(*cell_), *setup.backend),
      decoder_(model_) {
  if (request_.batch_size == 0) request_.batch_size = setup.config.largest_batch();
}

ExitSearchResult ParameterSearch::search_exits(const ExitGrid& grid, int repetitions) {
  const std::span<const TokenIds> prompts = inputs().calibration_prompts;
  const size_t limit = request_.limit == 0 ? kExitPrompts : static_cast<size_t>(request_.limit);
  const CalibrationPrompts data{.prompts = prompts.first(std::min(prompts.size(), limit)),
                                .batch_size = request_.batch_size,
                                .options = natural_length(setup_, dataset()),
                                .on_batch = request_.on_batch};
  return {skipbench::search_exits(decoder_, base_, grid, data, repetitions, request_.progress),
          data.prompts.size()};
}

// As a quality cell decodes and scores its prompts.
ScheduleTexts::Score ParameterSearch::decoded_score(const CalibrationTexts& data,
                                                    const Metric& metric,
                                                    const SkipStrategy& strategy) {
  GenerateOptions options = natural_length(setup_, dataset());
  const auto batch = static_cast<size_t>(request_.batch_size);
  std::vector<std::string> texts;
  std::vector<LayersPerToken> layers;
  for (size_t begin = 0; begin < data.texts.size(); begin += batch) {
    std::vector<TokenIds> prompts;
    for (size_t i = begin; i < std::min(begin + batch, data.texts.size()); ++i) {
      prompts.push_back(data.texts[i].prompt);
    }
    options.first_text = static_cast<int32_t>(begin);
    for (const GenerateOutput& output : decoder_.generate(prompts, strategy, options).outputs) {
      texts.push_back(
          postprocess(setup_.tokenizer->decode_known(output.tokens, /*skip_special=*/true),
                      dataset().stop, dataset().post));
      layers.push_back(output.layers_per_token);
    }
    if (request_.on_batch) request_.on_batch();
  }
  return {corpus_scores(metric, texts, data.references).at(0).score, realised_budget(layers)};
}

ScheduleSearchResult ParameterSearch::search_schedules(std::span<const int> min_layers,
                                                       bool by_loss) {
  const size_t limit = request_.limit == 0 ? inputs().calibration_prompts.size()
                                           : static_cast<size_t>(request_.limit);
  const CalibrationTexts data =
      calibration_texts(dataset(), inputs(), *setup_.tokenizer, setup_.loaded.config, limit);
  ScheduleTexts asked{.texts = data.texts,
                      .batch_size = request_.batch_size,
                      .on_batch = request_.on_batch,
                      .score = {},
                      .progress = request_.progress};
  const MetricSpec* spec = by_loss ? nullptr : first_text_metric(dataset());
  std::unique_ptr<Metric> metric;
  if (spec != nullptr) {
    metric = make_metric(spec->name, spec->options, spec->where);
    asked.score = [&](const SkipStrategy& strategy) {
      return decoded_score(data, *metric, strategy);
    };
    asked.higher_is_better = metric->higher_is_better();
  }
  ScheduleSearchResult result;
  result.candidates = skipbench::search_schedules(decoder_, base_, min_layers, asked);
  result.by = spec == nullptr ? "loss" : spec->name;
  result.num_texts = data.texts.size();
  for (const ScoreRequest& text : data.texts) result.reference_tokens += text.continuation.size();
  return result;
}

}  // namespace skipbench
