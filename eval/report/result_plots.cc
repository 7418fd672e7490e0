#include "eval/report/result_plots.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "engine/base/error.h"
#include "eval/report/drift_plots.h"
#include "eval/report/layout.h"
#include "eval/report/row_statistics.h"

namespace skipbench {
namespace {

// A row's point in a plot, if it has one.
struct Placed {
  std::string series;
  PlotPoint point;
};

void add_point(std::vector<PlotSeries>& series, Placed placed, bool line) {
  auto found = std::find_if(series.begin(), series.end(),
                            [&](const PlotSeries& one) { return one.name == placed.series; });
  if (found == series.end()) {
    series.push_back({.name = std::move(placed.series), .line = line});
    found = series.end() - 1;
  }
  found->points.push_back(std::move(placed.point));
}

std::vector<std::string> chosen_datasets(const ResultTable& table, const std::string& wanted) {
  const std::vector<std::string> names = datasets_of(table);
  if (wanted.empty()) return names;
  if (std::find(names.begin(), names.end(), wanted) == names.end()) {
    throw unknown_name("data set", wanted, names, "--dataset");
  }
  return {wanted};
}

// The score that a data set's panels show: the one asked for, or the first.
std::string score_name(const ResultTable& table, const std::string& dataset,
                       const std::string& wanted) {
  std::vector<std::string> known;
  for (const TableRow& row : table.rows) {
    if (row.dataset != dataset) continue;
    for (const TableScore& score : row.scores) {
      if (wanted.empty() || score.name == wanted) return score.name;
      if (std::find(known.begin(), known.end(), score.name) == known.end()) {
        known.push_back(score.name);
      }
    }
  }
  if (known.empty()) return "";
  throw unknown_name("score of " + dataset, wanted, known, "--metric");
}

bool is_higher_better(const ResultTable& table, const std::string& dataset,
                      const std::string& name) {
  for (const TableRow& row : table.rows) {
    if (row.dataset != dataset) continue;
    for (const TableScore& score : row.scores) {
      if (score.name == name) return score.higher_is_better;
    }
  }
  return true;
}

std::optional<double> score_of(const TableRow& row, const std::string& name) {
  for (const TableScore& score : row.scores) {
    if (score.name == name) return score.value;
  }
  return std::nullopt;
}

std::string series_name(const TableRow& row, bool with_target) {
  return with_target && row.target != 1 ? fmt::format("{} {:g}x", row.strategy, row.target)
                                        : row.strategy;
}

std::string target_label(const TableRow& row) { return fmt::format("{:g}x", row.target); }

std::set<int64_t> batches_of(const ResultTable& table, const std::string& dataset) {
  std::set<int64_t> batches;
  for (const TableRow& row : table.rows) {
    if (row.dataset == dataset && row.batch) batches.insert(*row.batch);
  }
  return batches;
}

std::string panel_title(const std::string& dataset, int64_t batch) {
  return fmt::format("{}, batch {}", dataset, batch);
}

Plot pareto_plot(const ResultTable& table, const ResultPlotOptions& options) {
  Plot plot{.x_label = "decode tokens per second", .y_label = "quality", .zero_x = true};
  std::set<std::string> scores;
  for (const std::string& dataset : chosen_datasets(table, options.dataset)) {
    const std::string score = score_name(table, dataset, options.score);
    if (score.empty()) continue;
    const bool higher_is_better = is_higher_better(table, dataset, score);
    scores.insert(higher_is_better ? score : score + " (lower is better)");
    for (const int64_t batch : batches_of(table, dataset)) {
      PlotPanel panel{.title = panel_title(dataset, batch)};
      std::vector<PlotPoint> all;
      for (const TableRow& row : table.rows) {
        if (row.dataset != dataset || row.batch != batch) continue;
        const auto quality = score_of(row, score);
        if (!quality || !row.decode_per_second) continue;
        const PlotPoint point{*row.decode_per_second, *quality, target_label(row)};
        all.push_back(point);
        add_point(panel.series, {row.strategy, point}, /*line=*/false);
      }
      if (all.empty()) continue;
      panel.series.push_back({.name = "Pareto front",
                              .guide = true,
                              .points = pareto_front(std::move(all), higher_is_better)});
      plot.panels.push_back(std::move(panel));
    }
  }
  if (scores.size() == 1) plot.y_label = *scores.begin();
  return plot;
}

Plot target_plot(const ResultTable& table, const ResultPlotOptions& options) {
  Plot plot{.x_label = "asked-for speedup", .y_label = "achieved decode speedup"};
  for (const std::string& dataset : chosen_datasets(table, options.dataset)) {
    for (const int64_t batch : batches_of(table, dataset)) {
      PlotPanel panel{.title = panel_title(dataset, batch)};
      double largest = 1;
      for (const TableRow& row : table.rows) {
        if (row.dataset != dataset || row.batch != batch || !row.speedup) continue;
        if (!has_target(row)) continue;
        largest = std::max(largest, row.target);
        add_point(panel.series, {row.strategy, {row.target, *row.speedup, ""}}, /*line=*/true);
      }
      if (panel.series.empty()) continue;
      panel.series.push_back({.name = "achieved = asked for",
                              .guide = true,
                              .points = {{.x = 1, .y = 1}, {.x = largest, .y = largest}}});
      plot.panels.push_back(std::move(panel));
    }
  }
  return plot;
}

Plot batch_plot(const ResultTable& table, const ResultPlotOptions& options) {
  Plot plot{
      .x_label = "batch size", .y_label = "decode tokens per second", .powers_of_two_x = true};
  for (const std::string& dataset : chosen_datasets(table, options.dataset)) {
    PlotPanel panel{.title = dataset};
    for (const TableRow& row : table.rows) {
      if (row.dataset != dataset || !row.batch || !row.decode_per_second) continue;
      const PlotPoint point{static_cast<double>(*row.batch), *row.decode_per_second, ""};
      add_point(panel.series, {series_name(row, true), point}, /*line=*/true);
    }
    if (!panel.series.empty()) plot.panels.push_back(std::move(panel));
  }
  return plot;
}

Plot plot_of_drift(const ResultTable& table, const ResultPlotOptions& options) {
  std::set<std::string> names;
  for (const TableRow& row : table.rows) names.insert(row.strategy);
  if (!options.strategy.empty() && !names.contains(options.strategy)) {
    const std::vector<std::string> known(names.begin(), names.end());
    throw unknown_name("strategy", options.strategy, known, "--strategy");
  }
  std::vector<DriftLine> lines;
  for (const std::string& dataset : chosen_datasets(table, options.dataset)) {
    std::set<int64_t> cells;  // data sets may share one
    for (const TableRow& row : table.rows) {
      // Rows of one cell at several batch sizes have the same drift.
      if (row.dataset != dataset || row.layer_cosine.empty()) continue;
      if (!cells.insert(row.quality_cell).second) continue;
      if (!options.strategy.empty() && row.strategy != options.strategy) continue;
      lines.push_back(
          {dataset, row.strategy, row.target, row.layer_cosine, row.layer_norm_ratio, row.steps});
    }
  }
  return drift_plot(lines, options.kind);
}

struct Kind {
  std::string name;
  Plot (*make)(const ResultTable& table, const ResultPlotOptions& options);
  std::string needs;
  // Options of the command line beside --dataset, which each kind reads.
  bool reads_score = false;
  bool reads_strategy = false;
};

const std::vector<Kind>& kinds() {
  static const std::string kDrift =
      "cells other than `full` of a data set with one of the metrics perplexity, kl and top1";
  static const std::string kSteps =
      "; a file of an older version lacks the steps until `run --fresh` measures them";
  static const std::vector<Kind> all = {
      {"pareto", pareto_plot, "cells with a score and a measured speed", /*reads_score=*/true},
      {"target", target_plot, "timed cells, `full` among them at the same batch size"},
      {"batch", batch_plot, "timed cells"},
      {"similarity", plot_of_drift, kDrift, false, /*reads_strategy=*/true},
      {"divergence", plot_of_drift, kDrift + kSteps, false, /*reads_strategy=*/true},
      {"steps", plot_of_drift, kDrift + kSteps, false, /*reads_strategy=*/true}};
  return all;
}

const Kind& find_kind(const std::string& name) {
  for (const Kind& kind : kinds()) {
    if (kind.name == name) return kind;
  }
  throw unknown_name("kind of plot", name, result_plot_kinds(), "--kind");
}

void refuse_unread(const ResultPlotOptions& options, const Kind& kind) {
  const auto refuse = [&](const char* flag, const std::string& got, bool Kind::*reads) {
    if (got.empty() || kind.*reads) return;
    std::vector<std::string> names;
    for (const Kind& other : kinds()) {
      if (other.*reads) names.push_back(other.name);
    }
    throw Error({.what = "a plot of kind " + kind.name + " does not read this option",
                 .where = flag,
                 .expected = fmt::format("it with --kind {}", fmt::join(names, ", ")),
                 .got = got});
  };
  refuse("--metric", options.score, &Kind::reads_score);
  refuse("--strategy", options.strategy, &Kind::reads_strategy);
}

void sort_lines(Plot& plot) {
  for (PlotPanel& panel : plot.panels) {
    for (PlotSeries& series : panel.series) {
      if (!series.line) continue;
      std::stable_sort(series.points.begin(), series.points.end(),
                       [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; });
    }
  }
}

}  // namespace

const std::vector<std::string>& result_plot_kinds() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Kind& kind : kinds()) all.push_back(kind.name);
    return all;
  }();
  return names;
}

Plot possible_plot(const ResultTable& table, const ResultPlotOptions& options) {
  const Kind& kind = find_kind(options.kind);
  refuse_unread(options, kind);
  Plot plot = kind.make(table, options);
  sort_lines(plot);
  return plot;
}

Plot result_plot(const ResultTable& table, const ResultPlotOptions& options) {
  Plot plot = possible_plot(table, options);
  if (!plot.panels.empty()) return plot;
  throw Error({.what = "nothing to draw in a plot of kind " + options.kind,
               .expected = find_kind(options.kind).needs,
               .hint = "`skipbench table` shows what the results file has"});
}

std::vector<PlotPoint> pareto_front(std::vector<PlotPoint> points, bool higher_is_better) {
  const auto is_better = [&](double a, double b) { return higher_is_better ? a > b : a < b; };
  // From the fastest down, a point is on the front if it is better than all faster ones.
  std::sort(points.begin(), points.end(), [&](const PlotPoint& a, const PlotPoint& b) {
    return a.x != b.x ? a.x > b.x : is_better(a.y, b.y);
  });
  std::vector<PlotPoint> front;
  for (const PlotPoint& point : points) {
    if (front.empty() || is_better(point.y, front.back().y)) front.push_back(point);
  }
  std::reverse(front.begin(), front.end());
  return front;
}

}  // namespace skipbench
