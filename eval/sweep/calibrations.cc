// What strategies leave to a calibration, found on the calibration split and kept in the store:
// thresholds on the strategy's own tokens; on `full`'s the order in which layers are removed, the
// scores of sublayers and expected lengths.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "engine/base/error.h"
#include "eval/calibration.h"
#include "eval/probe/layer_statistics.h"
#include "eval/sweep/interrupt.h"
#include "eval/sweep/session.h"
#include "strategies/adaskip.h"

namespace skipbench {
namespace {

// `full`'s outputs for the calibration prompts, made once per dataset and adapter.
std::vector<ScoreRequest> calibration_data(const SweepSession& session, const Cell& cell) {
  const DatasetSection& dataset = session.dataset(cell);
  const SweepInputs& inputs = session.inputs(cell);
  const std::string identity =
      calibration_data_identity(session.config(), cell, inputs, session.setup.context);
  if (auto stored = session.store.find_calibration_data(identity)) return *stored;
  const auto full = make_strategy({.name = "full", .where = dataset.where}, session.num_layers());
  GenerateOptions options = natural_length(session, dataset);
  const std::span<const TokenIds> prompts = inputs.calibration_prompts;
  const auto batch = static_cast<size_t>(session.config().largest_batch());
  std::vector<ScoreRequest> requests;
  for (size_t begin = 0; begin < prompts.size(); begin += batch) {
    const auto part = prompts.subspan(begin, std::min(batch, prompts.size() - begin));
    options.first_text = static_cast<int32_t>(begin);
    GenerateResult result = session.decoder(cell).generate(part, *full, options);
    for (size_t i = 0; i < part.size(); ++i) {
      requests.push_back({part[i], std::move(result.outputs[i].tokens)});
    }
    session.finish_batch();
  }
  session.store.add_calibration_data(session.run, identity, requests);
  return requests;
}

// Scores of the layers as far as `pruning` asks, from the store where they are there. Always of the
// model without adapter: an adapter was trained for layers chosen before it.
LayerScores layer_scores(const SweepSession& session, Cell cell, const Pruning& pruning) {
  cell.adapter.clear();
  const std::string identity = layer_scores_identity(session.config(), cell, session.inputs(cell),
                                                     session.setup.context, pruning);
  LayerScores scores;
  if (const auto stored = session.store.find_layer_scores(identity)) {
    scores = parse_layer_scores(*stored, "layer_scores of the results file");
    if (pruning.score != LayerScore::kGreedy || std::ssize(scores.greedy) >= pruning.count) {
      return scores;
    }
  }
  const auto data = calibration_data(session, cell);
  LayerProbe probe(session.decoder(cell).model(), data, session.config().largest_batch(),
                   [&] { session.finish_batch(); });
  probe.measure(scores, pruning);
  session.store.add_layer_scores(
      session.run, identity, layer_score_names()[static_cast<size_t>(pruning.score)],
      cell.key.dataset, session.inputs(cell).calibration_hash, layer_scores_json(scores));
  return scores;
}

Calibration find_removals(const SweepSession& session, const Cell& cell) {
  const Pruning pruning = pruning_of(cell.spec, session.num_layers());
  const LayerScores scores = layer_scores(session, cell, pruning);
  const std::vector<int> order =
      removal_order(pruning, scores, session.num_layers(), cell.spec.where);
  const double budget = session.num_layers() - pruning.count;
  return {.parameter = "order",
          .value = fmt::format("{}", fmt::join(order, ",")),
          .threshold = 0,
          .budget = budget,
          .realised_budget = budget,
          .on_target = true};
}

// Of the cell's own model on `full`'s tokens: they are few passes, so each cell makes its own.
Calibration find_sublayer_scores(const SweepSession& session, const Cell& cell) {
  const auto data = calibration_data(session, cell);
  return calibrate_adaskip(session.decoder(cell).model(), cell.spec, data,
                           session.config().largest_batch(), [&] { session.finish_batch(); });
}

Calibration find_threshold(const SweepSession& session, const Cell& cell) {
  return calibrate_threshold(session.decoder(cell), cell.spec,
                             {.prompts = session.inputs(cell).calibration_prompts,
                              .batch_size = session.config().largest_batch(),
                              .options = natural_length(session, session.dataset(cell)),
                              .on_batch = [&] { session.finish_batch(); }});
}

Calibration find_value(const SweepSession& session, const Cell& cell) {
  if (cell.calibrated->name == "threshold") return find_threshold(session, cell);
  if (cell.calibrated->name == "order") return find_removals(session, cell);
  if (cell.calibrated->name == "scores") return find_sublayer_scores(session, cell);
  const auto data = calibration_data(session, cell);
  if (cell.calibrated->name == "expected_length") {
    return calibrate_length(cell.spec, cell.calibrated->name, session.num_layers(), data, 2,
                            1 << 20);
  }
  throw Error({.what = "no way to calibrate this parameter",
               .where = cell.spec.where,
               .expected = "threshold, expected_length, order or scores",
               .got = cell.calibrated->name});
}

ResultStore::StoredCalibration calibrate(const SweepSession& session, const Cell& cell) {
  if (auto stored = session.store.find_calibration(cell.calibration_identity)) return *stored;
  const Calibration found = find_value(session, cell);
  return session.store.add_calibration(session.run, cell.calibration_identity, cell.key.strategy,
                                       cell.key.target, cell.key.dataset,
                                       session.inputs(cell).calibration_hash, found);
}

// Null where it depends on the input.
std::optional<int> longest_skipped_run(const SkipStrategy& strategy, int num_layers, int steps) {
  if (strategy.rule() != nullptr) return std::nullopt;
  int longest = 0;
  for (int t = 0; t < steps; ++t) {
    longest = std::max(longest, strategy.step_layers(num_layers, t).longest_skipped_run());
  }
  return longest;
}

}  // namespace

std::unique_ptr<SkipStrategy> strategy_of(const SweepSession& session, RunnableCell cell) {
  StrategySpec spec = cell.cell->spec;
  if (cell.cell->calibrated) {
    const auto stored = calibrate(session, *cell.cell);
    const Calibration& found = stored.calibration;
    spec.params[found.parameter] = {
        found.parameter == "threshold" ? fmt::format("{}", found.threshold) : found.value,
        "calibration"};
    session.store.set_calibration_of(cell.id, stored.id);
  }
  auto strategy = make_strategy(spec, session.num_layers());
  if (const auto longest =
          longest_skipped_run(*strategy, session.num_layers(), session.config().max_new_tokens)) {
    session.store.set_longest_skipped_run(cell.id, *longest);
  }
  return strategy;
}

}  // namespace skipbench
