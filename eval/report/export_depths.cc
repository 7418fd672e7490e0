#include "eval/report/export_depths.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "engine/base/error.h"
#include "eval/report/result_table.h"
#include "eval/store/stored_json.h"
#include "strategies/exit_depths.h"
#include "strategies/exit_signal.h"
#include "strategies/strategy.h"

namespace skipbench {
namespace {

using OrderedJson = nlohmann::ordered_json;

struct DepthCell {
  int64_t id = 0;
  std::string label, dataset;
  double target = 1;
  OrderedJson params, threshold;
  std::vector<int> depths;  // of all decoding steps, text after text
};

std::vector<DepthCell> depth_cells(ResultStore& store, int64_t run) {
  Statement rows(store.database(),
                 "SELECT c.id, r.strategy, r.dataset, r.target, c.resolved, k.threshold"
                 " FROM run_cells r JOIN cells c ON c.id = r.cell_id"
                 " LEFT JOIN calibrations k ON k.id = c.calibration_id"
                 " WHERE r.run_id = ? AND c.kind = 'quality'"
                 " AND c.status = 'done' ORDER BY r.ordinal");
  rows.bind(run);
  std::vector<DepthCell> cells;
  while (rows.step()) {
    const auto [strategy, params] = read_stored(store.database().path(), "cell", [&] {
      const OrderedJson resolved = OrderedJson::parse(rows.text(4));
      return std::pair(resolved.at("strategy").get<std::string>(), resolved.at("params"));
    });
    // What was replayed is no confidence's decision.
    if (strategy != "early_exit" || params.contains("depths")) continue;
    DepthCell cell{rows.integer(0), rows.text(1), rows.text(2), rows.real(3), params, {}, {}};
    if (!rows.is_null(5)) cell.threshold = rows.real(5);
    for (const OutputRecord& output : store.outputs(cell.id)) {
      for (size_t t = 1; t < output.layers.size(); ++t) {
        cell.depths.push_back(static_cast<int>(std::lround(output.layers[t])));
      }
    }
    cells.push_back(std::move(cell));
  }
  return cells;
}

double mean(std::span<const int> depths) {
  const double sum = std::accumulate(depths.begin(), depths.end(), 0.0);
  return depths.empty() ? 0 : sum / static_cast<double>(depths.size());
}

// Where the first window of `steps` begins whose mean is nearest to `budget`.
size_t nearest_window(std::span<const int> depths, size_t steps, int budget) {
  const int64_t wanted = static_cast<int64_t>(steps) * budget;
  int64_t sum =
      std::accumulate(depths.begin(), depths.begin() + static_cast<int64_t>(steps), int64_t{0});
  int64_t nearest = std::abs(sum - wanted);
  size_t best = 0;
  for (size_t begin = 1; begin + steps <= depths.size(); ++begin) {
    sum += depths[begin + steps - 1] - depths[begin - 1];
    if (std::abs(sum - wanted) >= nearest) continue;
    nearest = std::abs(sum - wanted);
    best = begin;
  }
  return best;
}

// As many of `all` as a list may have.
size_t most_steps(size_t all) {
  const size_t most = std::min(all, kMostDepths);
  return most > 1 && most % kReplayStride == 0 ? most - 1 : most;
}

OrderedJson list_json(const DepthCell& cell, int num_layers, size_t steps,
                      const std::string& path) {
  const std::span<const int> all = cell.depths;
  if (steps > all.size() || all.empty()) {
    throw Error(
        {.what = fmt::format("'{}' at {}x has too few decoding steps", cell.label, cell.target),
         .where = path,
         .expected = fmt::format("at least {}", std::max<size_t>(1, steps)),
         .got = std::to_string(all.size()),
         .hint = "run more texts, or ask for fewer --steps"});
  }
  const int budget = layer_budget(num_layers, cell.target);
  const size_t count = steps == 0 ? most_steps(all.size()) : steps;
  const size_t first = nearest_window(all, count, budget);
  const std::span<const int> chosen = all.subspan(first, count);
  return {{"strategy", cell.label},
          {"target", cell.target},
          {"dataset", cell.dataset},
          {"params", cell.params},
          {"threshold", cell.threshold},
          {"budget", budget},
          {"mean", mean(chosen)},
          {"first_step", first},
          {"run_steps", all.size()},
          {"run_mean", mean(all)},
          {"depths", chosen}};
}

}  // namespace

std::string export_exit_depths(ResultStore& store, int64_t steps, std::optional<int64_t> shown) {
  const ResultTable table = load_result_table(store, shown);
  const RunRecord& run = table.run;
  const std::string& path = store.database().path();
  if (!table.variants.empty()) {
    throw Error({.what = "exit depths are of one model",
                 .where = path,
                 .expected = "a run without `matrix`",
                 .got = fmt::format("one of {} variants", table.variants.size())});
  }
  const std::vector<DepthCell> cells = depth_cells(store, table.run_id);
  if (cells.empty()) {
    throw Error({.what = "no scored early_exit cell whose confidence decided is done",
                 .where = path,
                 .hint = "run a sweep with early_exit at the targets that are wanted"});
  }
  if (steps > 1 && steps % kReplayStride == 0) {
    throw Error({.what = "a list that would give several texts the same exits",
                 .where = "--steps",
                 .expected = fmt::format("a number that {} does not divide", kReplayStride),
                 .got = std::to_string(steps)});
  }
  for (size_t i = 0; i < cells.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (cells[i].target != cells[j].target) continue;
      throw Error({.what = fmt::format("two early_exit cells at target {}", cells[i].target),
                   .where = path,
                   .expected = "one list per target: one data set and one entry of early_exit",
                   .got = fmt::format("'{}' on {} and '{}' on {}", cells[j].label, cells[j].dataset,
                                      cells[i].label, cells[i].dataset),
                   .hint = "run the sweep without one of them"});
    }
  }
  OrderedJson json = {{"num_layers", run.num_layers}, {"model", run.model},
                      {"model_hash", run.model_hash}, {"commit", run.provenance.commit},
                      {"command", run.command},       {"started", table.started}};
  if (!run.provenance.dirty_hash.empty()) json["uncommitted"] = run.provenance.dirty_hash;
  // A list a line.
  std::string text = json.dump(1, ' ', false, OrderedJson::error_handler_t::replace);
  text.resize(text.size() - 2);
  text += ",\n \"lists\": [";
  const char* separator = "\n  ";
  for (const DepthCell& cell : cells) {
    const OrderedJson list = list_json(cell, run.num_layers, static_cast<size_t>(steps), path);
    text += separator + list.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
    separator = ",\n  ";
  }
  return text + "\n ]\n}\n";
}

}  // namespace skipbench
