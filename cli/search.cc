// skipbench search: early exit's signal, first tested layer and interval for the best speed at a
// budget.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/sweep_options.h"
#include "engine/base/error.h"
#include "eval/exit_search.h"
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
  int limit = 16;
  int repetitions = 5;
};

const DatasetSection& find_dataset(const SweepConfig& config, const std::string& name,
                                   size_t& index) {
  std::vector<std::string> known;
  for (index = 0; index < config.datasets.size(); ++index) {
    if (name.empty() || config.datasets[index].name == name) return config.datasets[index];
    known.push_back(config.datasets[index].name);
  }
  throw unknown_name("dataset", name, known, "--dataset");
}

// The sweep's own early_exit at this target, if it has one: its adapter and parameters are kept.
const Cell* find_cell(const SweepSetup& setup, size_t dataset, double target) {
  for (const Cell& cell : setup.cells) {
    if (cell.spec.name == "early_exit" && cell.dataset == dataset && cell.spec.target == target &&
        cell.status == cell_status::kPending) {
      return &cell;
    }
  }
  return nullptr;
}

Json candidate_json(const ExitCandidate& candidate) {
  Json json;
  for (const auto& [name, value] : candidate.spec.params) json["params"][name] = value.text;
  json["layers"] = candidate.calibration.realised_budget;
  json["on_target"] = candidate.calibration.on_target;
  if (candidate.tokens_per_second.empty()) return json;
  json["decode_tokens_per_second"] = candidate.median_tokens_per_second;
  json["samples"] = candidate.tokens_per_second;
  json["exit_test_share"] = candidate.test_share;
  return json;
}

void search(const SearchOptions& options) {
  const SweepSetup setup =
      prepare_sweep(load_sweep_config(options.sweep.config, options.sweep.overrides));
  size_t index = 0;
  const DatasetSection& dataset = find_dataset(setup.config, options.dataset, index);
  std::span<const TokenIds> prompts = setup.inputs[index].calibration_prompts;
  prompts = prompts.first(std::min(prompts.size(), static_cast<size_t>(options.limit)));

  const InterruptGuard interrupt_guard;
  const CalibrationPrompts data{
      .prompts = prompts,
      .batch_size = options.batch > 0 ? options.batch : setup.config.largest_batch(),
      .options = natural_length(setup, dataset),
      .on_batch = [] {
        if (InterruptGuard::requested()) throw ExitWith{ExitCode::kInterrupted};
      }};
  StrategySpec base = options.strategy.spec();
  const Cell* cell = find_cell(setup, index, options.strategy.target);
  if (cell != nullptr) {
    base.params.insert(cell->spec.params.begin(), cell->spec.params.end());  // --param goes first
    base.params.erase("threshold");
  }
  Model model(cell == nullptr ? setup.loaded : setup.model_of(*cell), *setup.backend);
  Decoder decoder(model);
  const auto candidates = search_exits(decoder, base, options.grid, data, options.repetitions);

  Json json;
  json["target"] = options.strategy.target;
  json["budget"] = candidates.front().calibration.budget;
  json["dataset"] = dataset.name;
  json["prompts"] = prompts.size();
  json["batch"] = data.batch_size;
  json["adapter"] = cell == nullptr ? "" : cell->adapter;
  json["device"] = setup.backend->device_name();
  json["best"] = nullptr;
  if (!candidates.front().tokens_per_second.empty()) {
    json["best"] = candidate_json(candidates.front())["params"];
    json["best"].erase("threshold");  // a sweep finds its own on its own calibration split
  }
  json["candidates"] = Json::array();
  for (const ExitCandidate& candidate : candidates) {
    json["candidates"].push_back(candidate_json(candidate));
  }
  std::cout << json.dump(1, ' ', false, Json::error_handler_t::replace) << '\n';
  flush_output();
}

}  // namespace

void add_search(CLI::App& app) {
  const auto options = std::make_shared<SearchOptions>();
  CLI::App* sub = app.add_subcommand(
      "search",
      "The signal, first layer and interval of early_exit that decode fastest at a target");
  options->sweep.add_to(*sub);
  sub->add_option("--dataset", options->dataset, "of the configuration (default: its first)");
  options->strategy.add_parameters_to(*sub);
  sub->add_option("--signals", options->grid.signals, "tried; with commas between them")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_option("--min-layers", options->grid.min_layers,
                  "tried; with commas between them (default: 1, K/2, 3K/4, K - 1)")
      ->delimiter(',')
      ->check(whole_number(1, LayerSet::kMaxLayers));
  sub->add_option("--intervals", options->grid.intervals, "tried; with commas between them")
      ->delimiter(',')
      ->check(whole_number(1, LayerSet::kMaxLayers))
      ->capture_default_str();
  sub->add_option("--batch", options->batch, "prompts per batch (0: the sweep's largest)")
      ->check(whole_number(0, 1 << 16))
      ->capture_default_str();
  sub->add_option("--limit", options->limit, "calibration prompts used, from the first")
      ->check(whole_number(1, 1 << 30))
      ->capture_default_str();
  sub->add_option("--repetitions", options->repetitions, "timed turns, after one untimed")
      ->check(whole_number(1, 1 << 20))
      ->capture_default_str();
  sub->footer(
      "The sweep's first early_exit at this target gives its adapter and other parameters.\n"
      "Each combination is calibrated to the target's budget on its own texts; those on target\n"
      "are timed in turns. `best` holds the parameters to write into a sweep.\n"
      "Example:\n  skipbench search configs/smollm2.yaml --target 2 --signals "
      "softmax_difference,cosine");
  sub->callback([options] { search(*options); });
}

}  // namespace skipbench
