// skipbench search: the parameters of a strategy that are best at a budget: of early_exit those
// that decode fastest, of skip_decode the schedule with the best texts.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/sweep_options.h"
#include "datasets/postprocess.h"
#include "engine/base/error.h"
#include "eval/exit_search.h"
#include "eval/metrics/registry.h"
#include "eval/metrics/response_metrics.h"
#include "eval/schedule_search.h"
#include "eval/sweep/interrupt.h"
#include "eval/sweep/session.h"

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;

struct SearchOptions {
  SweepCommandOptions sweep;
  std::string dataset;
  StrategyOptions strategy{.name = "early_exit", .target = 2, .params = {}};
  ExitGrid grid;
  int64_t batch = 0;
  int limit = 0;
  int repetitions = 5;
  bool by_loss = false;
};

// What a search works on: one data set of a sweep and the model that decodes it.
struct SearchRun {
  const SearchOptions& options;
  const SweepSetup& setup;
  const DatasetSection& dataset;
  const SweepInputs& inputs;
  StrategySpec base;  // without the parameters that are searched or calibrated
  Decoder& decoder;
  int64_t batch_size = 1;
};

// Stops between two batches.
void end_of_batch() {
  if (InterruptGuard::requested()) throw ExitWith{ExitCode::kInterrupted};
}

Json params_json(const StrategySpec& spec) {
  Json json = Json::object();
  for (const auto& [name, value] : spec.params) json[name] = value.text;
  return json;
}

Json exit_json(const ExitCandidate& candidate) {
  Json json;
  json["params"] = params_json(candidate.spec);
  json["layers"] = candidate.calibration.realised_budget;
  json["on_target"] = candidate.calibration.on_target;
  if (candidate.tokens_per_second.empty()) return json;
  json["decode_tokens_per_second"] = candidate.median_tokens_per_second;
  json["samples"] = candidate.tokens_per_second;
  json["exit_test_share"] = candidate.test_share;
  return json;
}

void search_early_exit(const SearchRun& run, Json& json) {
  constexpr size_t kPrompts = 16;  // each trial of a threshold decodes all of them
  const std::span<const TokenIds> prompts = run.inputs.calibration_prompts;
  const auto limit = run.options.limit == 0 ? kPrompts : static_cast<size_t>(run.options.limit);
  const CalibrationPrompts data{.prompts = prompts.first(std::min(prompts.size(), limit)),
                                .batch_size = run.batch_size,
                                .options = natural_length(run.setup, run.dataset),
                                .on_batch = end_of_batch};
  const auto candidates =
      search_exits(run.decoder, run.base, run.options.grid, data, run.options.repetitions);
  json["budget"] = candidates.front().calibration.budget;
  json["prompts"] = data.prompts.size();
  if (!candidates.front().tokens_per_second.empty()) {
    json["best"] = exit_json(candidates.front())["params"];
  }
  for (const ExitCandidate& candidate : candidates) {
    json["candidates"].push_back(exit_json(candidate));
  }
}

Json schedule_json(const ScheduleCandidate& candidate) {
  Json json;
  json["params"] = params_json(candidate.spec);
  json["min_layers"] = candidate.min_layers;
  json["max_layers"] = candidate.max_layers;
  if (candidate.min_layers < candidate.max_layers) {
    json["expected_length"] = std::stod(candidate.calibration.value);
  }
  json["layers"] = candidate.realised_budget;
  json["on_target"] = candidate.calibration.on_target;
  json["loss"] = candidate.loss;
  if (candidate.score) {
    json["score"] = *candidate.score;
    json["decoded_layers"] = *candidate.decoded_layers;
  }
  return json;
}

// The data set's first metric of texts; null where it has none or the loss is asked for.
const MetricSpec* metric_of(const SearchRun& run) {
  if (run.options.by_loss) return nullptr;
  for (const MetricSpec& spec : run.dataset.metrics) {
    if (find_response_metric(spec.name) == nullptr) return &spec;
  }
  return nullptr;
}

// As a quality cell decodes and scores its prompts.
ScheduleTexts::Score decoded_score(const SearchRun& run, const CalibrationTexts& data, const Metric& metric,
                     const SkipStrategy& strategy) {
  GenerateOptions options = natural_length(run.setup, run.dataset);
  const auto batch = static_cast<size_t>(run.batch_size);
  std::vector<std::string> texts;
  std::vector<LayersPerToken> layers;
  for (size_t begin = 0; begin < data.texts.size(); begin += batch) {
    std::vector<TokenIds> prompts;
    for (size_t i = begin; i < std::min(begin + batch, data.texts.size()); ++i) {
      prompts.push_back(data.texts[i].prompt);
    }
    options.first_text = static_cast<int32_t>(begin);
    for (const GenerateOutput& output : run.decoder.generate(prompts, strategy, options).outputs) {
      texts.push_back(
          postprocess(run.setup.tokenizer->decode_known(output.tokens, /*skip_special=*/true),
                      run.dataset.stop, run.dataset.post));
      layers.push_back(output.layers_per_token);
    }
    end_of_batch();
  }
  return {corpus_scores(metric, texts, data.references).at(0).score, realised_budget(layers)};
}

void search_skip_decode(const SearchRun& run, Json& json) {
  const size_t limit = run.options.limit == 0 ? run.inputs.calibration_prompts.size()
                                              : static_cast<size_t>(run.options.limit);
  const CalibrationTexts data = calibration_texts(run.dataset, run.inputs, *run.setup.tokenizer,
                                                  run.setup.loaded.config, limit);
  ScheduleTexts asked{
      .texts = data.texts, .batch_size = run.batch_size, .on_batch = end_of_batch, .score = {}};
  const MetricSpec* spec = metric_of(run);
  std::unique_ptr<Metric> metric;
  if (spec != nullptr) {
    metric = make_metric(spec->name, spec->options, spec->where);
    asked.score = [&](const SkipStrategy& strategy) {
      return decoded_score(run, data, *metric, strategy);
    };
    asked.higher_is_better = metric->higher_is_better();
  }
  const auto candidates =
      search_schedules(run.decoder, run.base, run.options.grid.min_layers, asked);
  size_t tokens = 0;
  for (const ScoreRequest& text : data.texts) tokens += text.continuation.size();
  json["budget"] = candidates.front().calibration.budget;
  json["prompts"] = data.texts.size();
  json["reference_tokens"] = tokens;
  json["by"] = spec == nullptr ? "loss" : spec->name;
  if (candidates.front().within_budget) {
    json["best"] = schedule_json(candidates.front())["params"];
  }
  for (const ScheduleCandidate& candidate : candidates) {
    json["candidates"].push_back(schedule_json(candidate));
  }
}

struct SearchMethod {
  const char* strategy;
  void (*search)(const SearchRun& run, Json& json);  // sets budget, prompts, best, candidates
  std::vector<const char*> own_options;              // that no other method reads
};

const std::vector<SearchMethod>& search_methods() {
  static const std::vector<SearchMethod> methods = {
      {"early_exit", search_early_exit, {"--signals", "--intervals", "--repetitions"}},
      {"skip_decode", search_skip_decode, {"--by-loss"}}};
  return methods;
}

// Throws Error for a strategy that has nothing to search and for options of another one.
const SearchMethod& find_method(const StrategyOptions& strategy, const CLI::App& command) {
  find_strategy(strategy.name);
  std::vector<std::string> known;
  const SearchMethod* found = nullptr;
  for (const SearchMethod& method : search_methods()) {
    known.push_back(method.strategy);
    if (strategy.name == method.strategy) found = &method;
  }
  if (found == nullptr) {
    throw Error({.what = "the strategy has no parameter to search",
                 .where = "--strategy",
                 .expected = fmt::format("{}", fmt::join(known, " or ")),
                 .got = fmt::format("'{}'", strategy.name)});
  }
  for (const SearchMethod& method : search_methods()) {
    if (&method == found) continue;
    for (const char* option : method.own_options) {
      if (command.count(option) == 0) continue;
      throw Error({.what = "the option belongs to another strategy",
                   .where = option,
                   .expected = std::string("no such option, or --strategy ") + method.strategy,
                   .got = "--strategy " + strategy.name});
    }
  }
  return *found;
}

const DatasetSection& find_dataset(const SweepConfig& config, const std::string& name,
                                   size_t& index) {
  std::vector<std::string> known;
  for (index = 0; index < config.datasets.size(); ++index) {
    if (name.empty() || config.datasets[index].name == name) return config.datasets[index];
    known.push_back(config.datasets[index].name);
  }
  throw unknown_name("dataset", name, known, "--dataset");
}

// The sweep's own entry of this strategy and target, if it has one: its adapter and parameters are
// kept.
const Cell* find_cell(const SweepSetup& setup, size_t dataset, const StrategySpec& spec) {
  for (const Cell& cell : setup.cells) {
    if (cell.spec.name == spec.name && cell.dataset == dataset && cell.spec.target == spec.target &&
        cell.status == cell_status::kPending) {
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
  return names;
}

// What all candidates have in common: --param first, then the sweep's. Throws Error for a parameter
// of --param that is searched.
StrategySpec base_spec(const StrategyOptions& options, const Cell* cell, int num_layers) {
  StrategySpec base = options.spec();
  for (const std::string& name : searched_params(base, num_layers)) {
    const auto given = base.params.find(name);
    if (given == base.params.end()) continue;
    throw Error({.what = fmt::format("parameter '{}' is what the search finds", name),
                 .where = given->second.where,
                 .expected = "parameters that are not searched",
                 .got = name + "=" + given->second.text,
                 .hint = "leave it out; `skipbench search --help` lists what can be narrowed"});
  }
  if (cell == nullptr) return base;
  base.params.insert(cell->spec.params.begin(), cell->spec.params.end());
  for (const std::string& name : searched_params(base, num_layers)) base.params.erase(name);
  return base;
}

void search(const SearchOptions& options, const CLI::App& command) {
  const SearchMethod& method = find_method(options.strategy, command);
  const SweepSetup setup =
      prepare_sweep(load_sweep_config(options.sweep.config, options.sweep.overrides));
  size_t index = 0;
  const DatasetSection& dataset = find_dataset(setup.config, options.dataset, index);
  const InterruptGuard interrupt_guard;
  const Cell* cell = find_cell(setup, index, options.strategy.spec());
  Model model(cell == nullptr ? setup.loaded : setup.model_of(*cell), *setup.backend);
  Decoder decoder(model);
  const SearchRun run{
      .options = options,
      .setup = setup,
      .dataset = dataset,
      .inputs = setup.inputs[index],
      .base = with_new_tokens(base_spec(options.strategy, cell, setup.context.num_layers),
                              setup.config.max_new_tokens),
      .decoder = decoder,
      .batch_size = options.batch > 0 ? options.batch : setup.config.largest_batch()};

  Json json;
  json["strategy"] = run.base.name;
  json["target"] = run.base.target;
  json["budget"] = nullptr;
  json["dataset"] = dataset.name;
  json["prompts"] = 0;
  json["batch"] = run.batch_size;
  json["adapter"] = cell == nullptr ? "" : cell->adapter;
  json["device"] = setup.backend->device_name();
  json["best"] = nullptr;
  json["candidates"] = Json::array();
  method.search(run, json);
  // A sweep calibrates on its own calibration split.
  if (const auto calibrated = param_to_calibrate(run.base, setup.context.num_layers)) {
    if (json["best"].is_object()) json["best"].erase(calibrated->name);
  }
  std::cout << json.dump(1, ' ', false, Json::error_handler_t::replace) << '\n';
  flush_output();
}

}  // namespace

void add_search(CLI::App& app) {
  const auto options = std::make_shared<SearchOptions>();
  CLI::App* sub = app.add_subcommand(
      "search",
      "The parameters of early_exit that decode fastest at a target, or of skip_decode that give "
      "the best texts");
  options->sweep.add_to(*sub);
  sub->add_option("--dataset", options->dataset, "of the configuration (default: its first)");
  sub->add_option("--strategy", options->strategy.name, "early_exit or skip_decode")
      ->capture_default_str();
  options->strategy.add_parameters_to(*sub);
  sub->add_option("--signals", options->grid.signals, "early_exit: tried; with commas between them")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_option("--min-layers", options->grid.min_layers,
                  "tried; with commas between them (default: early_exit's first tested layer 1, "
                  "K/2, 3K/4, K - 1; skip_decode's fewest layers, up to 16 values of its range)")
      ->delimiter(',')
      ->check(whole_number(1, LayerSet::kMaxLayers));
  sub->add_option("--intervals", options->grid.intervals,
                  "early_exit: tried; with commas between them")
      ->delimiter(',')
      ->check(whole_number(1, LayerSet::kMaxLayers))
      ->capture_default_str();
  sub->add_option("--batch", options->batch, "prompts per batch (0: the sweep's largest)")
      ->check(whole_number(0, 1 << 16))
      ->capture_default_str();
  sub->add_option("--limit", options->limit,
                  "calibration prompts used, from the first (0: early_exit 16, skip_decode all)")
      ->check(whole_number(0, 1 << 30))
      ->capture_default_str();
  sub->add_option("--repetitions", options->repetitions,
                  "early_exit: timed turns, after one untimed")
      ->check(whole_number(1, 1 << 20))
      ->capture_default_str();
  sub->add_flag("--by-loss", options->by_loss,
                "skip_decode: the loss decides and nothing is decoded");
  sub->footer(
      "The sweep's first entry of the strategy at this target gives its adapter and other\n"
      "parameters. `best` holds the parameters to write into a sweep, which calibrates the rest.\n"
      "early_exit: each combination of signal, first tested layer and interval is calibrated to\n"
      "the target's budget on its own texts; those on target are timed in turns, the fastest "
      "first.\n"
      "skip_decode: every min_layers gets the expected_length at which the mean over the lengths\n"
      "of the calibration references is the budget, so that speed is the same. The best score by\n"
      "the data set's first metric of texts comes first (the prompts are decoded); where it has\n"
      "none, or by --by-loss, the least loss: the mean of -log p of the references' tokens,\n"
      "teacher-forced, nats.\n"
      "Examples:\n  skipbench search configs/smollm2.yaml --target 2 --signals "
      "softmax_difference,cosine\n"
      "  skipbench search configs/miniature.yaml --strategy skip_decode --target 3");
  sub->callback([options, sub] { search(*options, *sub); });
}

}  // namespace skipbench
