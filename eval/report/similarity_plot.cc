#include "eval/report/similarity_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/error.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

constexpr int kMostPerRow = 4;

PlotSeries series_of(const DriftLine& line, const std::vector<double>& values) {
  PlotSeries series{.name = line.strategy};
  for (size_t layer = 0; layer < values.size(); ++layer) {
    series.points.push_back({static_cast<double>(layer), values[layer], ""});
  }
  return series;
}

bool is_full(const DriftLine& line) { return line.strategy == "full"; }

struct Measure {
  std::string name;
  const std::vector<double> DriftLine::*values;
};

PlotPanel panel_of(std::span<const DriftLine> lines, const std::string& dataset, double target,
                   const Measure& measure) {
  const std::string at = fmt::format("target {:g}x", target);
  PlotPanel panel{.title = dataset.empty() ? at : dataset + ", " + at};
  panel.y_label = measure.name;
  size_t layers = 0;
  bool with_full = false;
  for (const DriftLine& line : lines) {
    if (line.dataset != dataset || (line.target != target && !is_full(line))) continue;
    layers = std::max(layers, (line.*measure.values).size());
    panel.series.push_back(series_of(line, line.*measure.values));
    with_full = with_full || is_full(line);
  }
  if (panel.series.size() == (with_full ? 1 : 0)) panel.series.clear();
  if (panel.series.empty() || with_full) return panel;
  panel.series.push_back(
      {.name = "no drift",
       .guide = true,
       .points = {{.x = 0, .y = 1}, {.x = static_cast<double>(layers) - 1, .y = 1}}});
  return panel;
}

std::vector<double> mean_of(const Json& steps, const char* key) {
  std::vector<double> sums;
  double texts = 0;
  for (size_t step = 1; step < steps.size(); ++step) {  // entry 0 is the prefill
    const auto weight = steps[step].at("texts").get<double>();
    const auto values = steps[step].at(key).get<std::vector<double>>();
    sums.resize(std::max(sums.size(), values.size()));
    for (size_t layer = 0; layer < values.size(); ++layer) sums[layer] += weight * values[layer];
    texts += weight;
  }
  for (double& sum : sums) sum /= texts;
  return sums;
}

}  // namespace

Plot similarity_plot(std::span<const DriftLine> lines) {
  const Measure measures[] = {{"cosine with full", &DriftLine::cosine},
                              {"norm / norm of full", &DriftLine::norm_ratio}};
  std::vector<std::string> datasets;
  std::set<double> targets;
  for (const DriftLine& line : lines) {
    if (std::ranges::find(datasets, line.dataset) == datasets.end()) {
      datasets.push_back(line.dataset);
    }
    if (!is_full(line)) targets.insert(line.target);
  }
  Plot plot{.x_label = "after layer", .y_label = "similarity to full"};
  plot.tight_x = true;
  plot.panels_per_row = std::clamp(static_cast<int>(targets.size()), 2, kMostPerRow);
  for (const std::string& dataset : datasets) {
    for (const Measure& measure : measures) {
      for (const double target : targets) {
        PlotPanel panel = panel_of(lines, dataset, target, measure);
        if (!panel.series.empty()) plot.panels.push_back(std::move(panel));
      }
    }
  }
  return plot;
}

DriftLine probe_drift(const std::string& json, const std::string& where) {
  const Json probe = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  try {
    DriftLine line{.strategy = probe.at("strategy").at("name").get<std::string>(),
                   .target = probe.at("strategy").at("target").get<double>(),
                   .cosine = mean_of(probe.at("steps"), "cosine"),
                   .norm_ratio = mean_of(probe.at("steps"), "norm_ratio")};
    if (!line.cosine.empty()) return line;
  } catch (const Json::exception&) {  // what was looked for is not there
  }
  throw Error({.what = "holds no drift of layers",
               .where = where,
               .expected = "a results file, or the JSON that `skipbench probe --strategy NAME` "
                           "prints for texts with at least one decoding step"});
}

}  // namespace skipbench
