#include "eval/report/drift_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/error.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

constexpr int kMostPerRow = 4;
constexpr size_t kMostPoints = 24;  // of a line over tokens

using Points = std::vector<PlotPoint>;

Points by_layer(const std::vector<double>& values) {
  Points points;
  for (size_t layer = 0; layer < values.size(); ++layer) {
    points.push_back({static_cast<double>(layer), values[layer], ""});
  }
  return points;
}

// Means over as many neighbouring tokens as it takes.
Points by_token(const DriftLine& line, double (*value)(const StepDivergence&)) {
  const size_t count = line.steps.size();
  const size_t width = (count + kMostPoints - 1) / kMostPoints;
  Points points;
  for (size_t begin = 0; begin < count; begin += width) {
    const size_t end = std::min(begin + width, count);
    StepSums sums;
    for (size_t token = begin; token < end; ++token) sums.add(line.steps[token]);
    points.push_back({static_cast<double>(begin + end - 1) / 2, value(mean_of(sums)), ""});
  }
  return points;
}

struct Measure {
  std::string name;
  double without_drift;
  Points (*points)(const DriftLine& line);
};

const Measure kBetweenStates[] = {
    {"cosine with full", 1, [](const DriftLine& line) { return by_layer(line.cosine); }},
    {"norm / norm of full", 1, [](const DriftLine& line) { return by_layer(line.norm_ratio); }}};

const Measure kBetweenDistributions[] = {
    {"KL to full, nats", 0,
     [](const DriftLine& line) {
       return by_token(line, [](const StepDivergence& step) { return step.kl; });
     }},
    {"top-1 agreement, %", 100, [](const DriftLine& line) {
       return by_token(line, [](const StepDivergence& step) { return 100 * step.top1_agreement; });
     }}};

bool is_full(const DriftLine& line) { return line.strategy == "full"; }

std::string panel_title(const std::string& dataset, const std::string& text) {
  return dataset.empty() ? text : dataset + ", " + text;
}

PlotPanel panel_of(std::span<const DriftLine> lines, const std::string& dataset, double target,
                   const Measure& measure) {
  PlotPanel panel{.title = panel_title(dataset, fmt::format("target {:g}x", target)),
                  .y_label = measure.name};
  double last = 0;
  bool with_full = false;
  for (const DriftLine& line : lines) {
    if (line.dataset != dataset || (line.target != target && !is_full(line))) continue;
    Points points = measure.points(line);
    if (points.empty()) continue;
    last = std::max(last, points.back().x);
    panel.series.push_back({.name = line.strategy, .points = std::move(points)});
    with_full = with_full || is_full(line);
  }
  if (panel.series.size() == (with_full ? 1 : 0)) panel.series.clear();
  if (panel.series.empty() || with_full) return panel;
  const double level = measure.without_drift;
  panel.series.push_back({.name = "no drift",
                          .guide = true,
                          .points = {{.x = 0, .y = level}, {.x = last, .y = level}}});
  return panel;
}

std::vector<std::string> distinct(std::span<const DriftLine> lines, std::string DriftLine::*key) {
  std::vector<std::string> found;
  for (const DriftLine& line : lines) {
    if (std::ranges::find(found, line.*key) == found.end()) found.push_back(line.*key);
  }
  return found;
}

std::set<double> targets_of(std::span<const DriftLine> lines) {
  std::set<double> targets;
  for (const DriftLine& line : lines) {
    if (!is_full(line)) targets.insert(line.target);
  }
  return targets;
}

Plot line_plot(std::span<const DriftLine> lines, std::span<const Measure> measures, Plot plot) {
  const std::set<double> targets = targets_of(lines);
  plot.tight_x = true;
  plot.panels_per_row = std::clamp(static_cast<int>(targets.size()), 2, kMostPerRow);
  for (const std::string& dataset : distinct(lines, &DriftLine::dataset)) {
    for (const Measure& measure : measures) {
      for (const double target : targets) {
        PlotPanel panel = panel_of(lines, dataset, target, measure);
        if (!panel.series.empty()) plot.panels.push_back(std::move(panel));
      }
    }
  }
  return plot;
}

constexpr char kTokens[] = "token (0: the prefill's)";

Plot similarity_plot(std::span<const DriftLine> lines) {
  return line_plot(lines, kBetweenStates,
                   {.x_label = "after layer", .y_label = "similarity to full"});
}

Plot divergence_plot(std::span<const DriftLine> lines) {
  return line_plot(lines, kBetweenDistributions,
                   {.x_label = kTokens, .y_label = "distance from full"});
}

// A panel per strategy and target, all with one scale of colours.
Plot step_plot(std::span<const DriftLine> lines) {
  Plot plot{.x_label = kTokens, .y_label = "after layer"};
  plot.panels_per_row = std::clamp(static_cast<int>(targets_of(lines).size()), 1, kMostPerRow);
  double lowest = 0.9;
  for (const std::string& dataset : distinct(lines, &DriftLine::dataset)) {
    for (const std::string& strategy : distinct(lines, &DriftLine::strategy)) {
      for (const DriftLine& line : lines) {
        if (line.dataset != dataset || line.strategy != strategy || is_full(line)) continue;
        if (line.steps.empty()) continue;
        PlotPanel panel{
            .title = panel_title(dataset, fmt::format("{} {:g}x", line.strategy, line.target))};
        for (const StepSums& step : line.steps) {
          panel.heat.push_back(mean_of(step).cosine);
          for (const double value : panel.heat.back()) lowest = std::min(lowest, value);
        }
        plot.panels.push_back(std::move(panel));
      }
    }
  }
  plot.heat_scale = {.low = std::floor(10 * lowest) / 10, .high = 1, .label = "cosine with full"};
  return plot;
}

struct Kind {
  const char* name;
  Plot (*make)(std::span<const DriftLine> lines);
};

constexpr Kind kKinds[] = {
    {"similarity", similarity_plot}, {"divergence", divergence_plot}, {"steps", step_plot}};

StepSums step_sums(const Json& json) {
  StepSums sums{.texts = json.at("texts").get<int64_t>(),
                .cosine = json.at("cosine").get<std::vector<double>>(),
                .norm_ratio = json.at("norm_ratio").get<std::vector<double>>()};
  const auto texts = static_cast<double>(sums.texts);
  sums.layers = texts * json.at("layers").get<double>();
  sums.kl = texts * json.at("kl").get<double>();
  sums.agreeing = std::llround(texts * json.at("top1_agreement").get<double>());
  for (std::vector<double>* means : {&sums.cosine, &sums.norm_ratio}) {
    for (double& mean : *means) mean *= texts;
  }
  return sums;
}

}  // namespace

const std::vector<std::string>& drift_plot_kinds() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Kind& kind : kKinds) all.emplace_back(kind.name);
    return all;
  }();
  return names;
}

Plot drift_plot(std::span<const DriftLine> lines, const std::string& kind) {
  for (const Kind& known : kKinds) {
    if (kind == known.name) return known.make(lines);
  }
  throw unknown_name("kind of plot of a drift", kind, drift_plot_kinds(), "--kind");
}

DriftLine probe_drift(const std::string& json, const std::string& where) {
  const Json probe = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  try {
    DriftLine line{.strategy = probe.at("strategy").at("name").get<std::string>(),
                   .target = probe.at("strategy").at("target").get<double>()};
    StepSums decoding;
    for (const Json& step : probe.at("steps")) {
      line.steps.push_back(step_sums(step));
      const StepSums& sums = line.steps.back();
      const size_t layers = line.steps.front().cosine.size();
      if (sums.texts < 1 || layers == 0 || sums.cosine.size() != layers ||
          sums.norm_ratio.size() != layers) {
        throw Error({.what = "the drift of layers has gaps",
                     .where = fmt::format("{}, step {}", where, line.steps.size() - 1),
                     .expected = "at least one text, and cosine and norm_ratio of every layer",
                     .got = fmt::format("{} texts, {} and {} layers; {} in the first step",
                                        sums.texts, sums.cosine.size(), sums.norm_ratio.size(),
                                        layers)});
      }
      if (line.steps.size() > 1) decoding.add(sums);
    }
    StepDivergence means = mean_of(decoding);
    line.cosine = std::move(means.cosine);
    line.norm_ratio = std::move(means.norm_ratio);
    if (!line.cosine.empty()) return line;
  } catch (const Json::exception&) {  // what was looked for is not there
  }
  throw Error({.what = "holds no drift of layers",
               .where = where,
               .expected = "a results file, or the JSON that `skipbench probe --strategy NAME` "
                           "prints for texts with at least one decoding step"});
}

}  // namespace skipbench
