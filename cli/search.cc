// skipbench search: the parameters of a strategy that are best at a budget: of early_exit those
// that decode fastest, of skip_decode the schedule with the best texts.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/sweep_options.h"
#include "engine/base/error.h"
#include "eval/sweep/interrupt.h"
#include "eval/sweep/parameter_search.h"

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

// Stops between two batches.
void end_of_batch() {
  if (InterruptGuard::requested()) throw ExitWith{ExitCode::kInterrupted};
}

void print_progress(const std::string& what, size_t done, size_t of) {
  std::cerr << fmt::format("skipbench search: {} of {} {}\n", done, of, what);
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

void search_early_exit(ParameterSearch& search, const SearchOptions& options, Json& json) {
  const ExitSearchResult found = search.search_exits(options.grid, options.repetitions);
  const ExitCandidate& first = found.candidates.front();
  json["budget"] = first.calibration.budget;
  json["prompts"] = found.num_prompts;
  if (!first.tokens_per_second.empty()) json["best"] = exit_json(first)["params"];
  for (const ExitCandidate& candidate : found.candidates) {
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
    json["within_budget"] = candidate.within_budget;
  }
  return json;
}

void search_skip_decode(ParameterSearch& search, const SearchOptions& options, Json& json) {
  const ScheduleSearchResult found =
      search.search_schedules(options.grid.min_layers, options.by_loss);
  const ScheduleCandidate& first = found.candidates.front();
  json["budget"] = first.calibration.budget;
  json["prompts"] = found.num_texts;
  json["reference_tokens"] = found.reference_tokens;
  json["by"] = found.by;
  if (first.within_budget) json["best"] = schedule_json(first)["params"];
  for (const ScheduleCandidate& candidate : found.candidates) {
    json["candidates"].push_back(schedule_json(candidate));
  }
}

struct SearchMethod {
  const char* strategy;
  // Sets budget, prompts, best and candidates.
  void (*search)(ParameterSearch& search, const SearchOptions& options, Json& json);
  std::vector<const char*> own_options;  // that no other method reads
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

void search(const SearchOptions& options, const CLI::App& command) {
  const SearchMethod& method = find_method(options.strategy, command);
  const SweepSetup setup =
      prepare_sweep(load_sweep_config(options.sweep.config, options.sweep.overrides));
  const InterruptGuard interrupt_guard;
  ParameterSearch run(setup, {.strategy = options.strategy.spec(),
                              .dataset = options.dataset,
                              .batch_size = options.batch,
                              .limit = options.limit,
                              .on_batch = end_of_batch,
                              .progress = print_progress});
  if (!run.has_entry()) {
    std::cerr << fmt::format(
        "skipbench search: note: {} has no {} at target {:g}: searched without the parameters and "
        "the adapter that an entry would give\n",
        options.sweep.config, run.base().name, run.base().target);
  }

  Json json;
  json["strategy"] = run.base().name;
  json["target"] = run.base().target;
  json["budget"] = nullptr;
  json["dataset"] = run.dataset().name;
  json["prompts"] = 0;
  json["batch"] = run.batch_size();
  json["adapter"] = run.adapter();
  json["device"] = setup.backend->device_name();
  json["best"] = nullptr;
  json["candidates"] = Json::array();
  method.search(run, options, json);
  // A sweep calibrates on its own calibration split.
  if (const auto calibrated = param_to_calibrate(run.base(), setup.context.num_layers)) {
    if (json["best"].is_object()) json["best"].erase(calibrated->name);
  }
  std::cout << json.dump(1, ' ', false, Json::error_handler_t::replace) << '\n';
  flush_output();
  if (json["best"].is_null()) {
    std::cerr << "skipbench search: no candidate keeps to the budget of " << json["budget"]
              << " layers, so there is no `best`; try other --min-layers or a higher --limit\n";
  }
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
  add_list(*sub, "--signals", options->grid.signals, "early_exit: tried; with commas between them")
      ->capture_default_str();
  add_list(*sub, "--min-layers", options->grid.min_layers,
           "tried; with commas between them (default: early_exit's first tested layer 1, K/2, "
           "3K/4, K - 1; skip_decode's fewest layers, up to 16 values of its range)",
           whole_number(1, LayerSet::kMaxLayers));
  add_list(*sub, "--intervals", options->grid.intervals,
           "early_exit: tried; with commas between them", whole_number(1, LayerSet::kMaxLayers))
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
