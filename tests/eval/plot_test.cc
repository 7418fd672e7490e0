// Plots: which points they have, that names stay text, and what gnuplot makes of them.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/base/error.h"
#include "eval/report/drift_plots.h"
#include "eval/report/plot_ticks.h"
#include "eval/report/result_plots.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

TableRow row(const std::string& strategy, double target, int64_t batch, double score, double speed,
             const std::string& dataset = "de-en") {
  TableRow made;
  made.strategy = strategy;
  made.target = target;
  made.dataset = dataset;
  made.batch = batch;
  made.status = "done";
  made.scores = {{"BLEU", "BLEU|x", score}, {"chrF2", "chrF2|x", 2 * score}};
  made.decode_per_second = speed;
  made.speedup = speed / 100;
  made.layer_cosine = {1, 0.9, 0.7};
  made.layer_norm_ratio = {1, 1.2, 0.5};
  made.steps = {
      {.texts = 4, .kl = 2, .agreeing = 3, .cosine = {4, 4, 4}, .norm_ratio = {4, 4, 4}},
      {.texts = 2, .kl = 3, .agreeing = 1, .cosine = {2, 1.8, 0.5}, .norm_ratio = {2, 2, 2}}};
  return made;
}

ResultTable two_strategies() {
  ResultTable table;
  for (const int64_t batch : {8, 1}) {
    table.rows.push_back(row("full", 1, batch, 30, 100));
    table.rows.push_back(row("unified", 3, batch, 10, 250));
    table.rows.push_back(row("unified", 2, batch, 20, 180));
    table.rows.push_back(row("early_exit", 2, batch, 15, 90));
  }
  return table;
}

const PlotSeries& series_of(const PlotPanel& panel, const std::string& name) {
  for (const PlotSeries& series : panel.series) {
    if (series.name == name) return series;
  }
  throw std::runtime_error("no series " + name);
}

TEST(Plot, ParetoFrontHoldsWhatNothingBeats) {
  const auto front = [](bool higher_is_better) {
    std::vector<std::pair<double, double>> got;
    for (const PlotPoint& point :
         pareto_front({{1, 5}, {2, 5}, {3, 1}, {2.5, 3}, {2.5, 2}, {0.5, 9}, {3, 0}, {0.2, -1}},
                      higher_is_better)) {
      got.emplace_back(point.x, point.y);
    }
    return got;
  };
  using Points = std::vector<std::pair<double, double>>;
  EXPECT_EQ(front(true), (Points{{0.5, 9}, {2, 5}, {2.5, 3}, {3, 1}}));
  EXPECT_EQ(front(false), (Points{{0.2, -1}, {3, 0}}));
  EXPECT_TRUE(pareto_front({}, true).empty());
}

TEST(Plot, TheFrontOfAnErrorRateHoldsTheLowest) {
  ResultTable table = two_strategies();
  for (TableRow& row : table.rows) {
    row.scores = {{.name = "E",
                   .signature = "E|x",
                   .value = 100 - row.scores[0].value,
                   .higher_is_better = false}};
  }
  const Plot plot = result_plot(table, {.kind = "pareto", .score = "E"});
  EXPECT_EQ(plot.y_label, "E (lower is better)");
  const PlotSeries& front = series_of(plot.panels[1], "Pareto front");
  ASSERT_EQ(front.points.size(), 3u);  // early_exit is slower and worse than full
  EXPECT_EQ(front.points[0].x, 100);
  EXPECT_EQ(front.points[2].x, 250);
}

TEST(Plot, ParetoHasAPanelPerBatchAndAFront) {
  const Plot plot = result_plot(two_strategies(), {.kind = "pareto"});
  ASSERT_EQ(plot.panels.size(), 2u);
  EXPECT_EQ(plot.panels[0].title, "de-en, batch 1");
  EXPECT_EQ(plot.y_label, "BLEU");
  const PlotSeries& front = series_of(plot.panels[1], "Pareto front");
  ASSERT_EQ(front.points.size(), 3u);  // early_exit is slower and worse than full
  EXPECT_EQ(front.points[0].y, 30);
  EXPECT_EQ(series_of(plot.panels[0], "unified").points[0].label, "3x");
  const Plot chrf = result_plot(two_strategies(), {.kind = "pareto", .score = "chrF2"});
  EXPECT_EQ(series_of(chrf.panels[0], "full").points[0].y, 60);
  EXPECT_NE(gnuplot_script(plot, "svg").find("set xrange [0:*]"), std::string::npos);
}

TEST(Plot, TargetsAscendAndCellsWithoutSpeedAreLeftOut) {
  ResultTable table = two_strategies();
  table.rows[3].speedup.reset();
  const Plot plot = result_plot(table, {.kind = "target"});
  const PlotPanel& of_batch_8 = plot.panels[1];
  const PlotSeries& unified = series_of(of_batch_8, "unified");
  ASSERT_EQ(unified.points.size(), 2u);
  EXPECT_EQ(unified.points[0].x, 2);
  EXPECT_EQ(unified.points[1].y, 2.5);
  EXPECT_THROW(series_of(of_batch_8, "early_exit"), std::runtime_error);
}

TEST(Plot, WrongNamesAreRefused) {
  const ResultTable table = two_strategies();
  EXPECT_THROW(result_plot(table, {.kind = "pie"}), Error);
  EXPECT_THROW(result_plot(table, {.kind = "batch", .dataset = "en-de"}), Error);
  EXPECT_THROW(result_plot(table, {.kind = "pareto", .score = "BLUE"}), Error);
  EXPECT_THROW(result_plot(ResultTable(), {.kind = "pareto"}), Error);
  EXPECT_THROW(plot_format("a.pdf"), Error);
  EXPECT_THROW(plot_format("png"), Error);
}

TEST(Plot, OptionsThatAKindDoesNotReadAreRefused) {
  const ResultTable table = two_strategies();
  const std::string metric =
      message_of([&] { result_plot(table, {.kind = "batch", .score = "BLEU"}); });
  EXPECT_NE(metric.find("--metric: "), std::string::npos) << metric;
  EXPECT_NE(metric.find("--kind pareto"), std::string::npos) << metric;
  const std::string strategy =
      message_of([&] { result_plot(table, {.kind = "pareto", .strategy = "unified"}); });
  EXPECT_NE(strategy.find("--kind similarity, divergence, steps"), std::string::npos) << strategy;
}

// A name with everything that gnuplot, a shell or SVG gives a meaning.
TEST(Plot, NamesStayText) {
  const std::filesystem::path witness =
      std::filesystem::temp_directory_path() / "skipbench_plot_witness";
  std::filesystem::remove(witness);
  const std::string touch = "touch " + witness.string();
  const std::vector<std::string> names = {"x'; system('" + touch + "') #", "`" + touch + "`",
                                          "END\n!" + touch + "\nEND\n", "@x $y \\ \" \" <b>&amp;",
                                          "a_b^{c}"};
  ResultTable table;
  for (const std::string& name : names) {
    table.rows.push_back(row(name, 2, 1, 3, 4, names[2]));
    table.rows.back().scores[0].name = names[0];
    table.rows.back().quality_cell = std::ssize(table.rows);
  }
  for (const std::string& kind : result_plot_kinds()) {
    const std::string svg = drawn_plot(result_plot(table, {.kind = kind}), "svg");
    EXPECT_FALSE(std::filesystem::exists(witness)) << kind;
    EXPECT_NE(svg.find("a_b^{c}"), std::string::npos) << kind;
    EXPECT_EQ(svg.find("<b>"), std::string::npos) << kind;
    EXPECT_NE(svg.find("&lt;b>&amp;amp;"), std::string::npos) << kind;
  }
}

TEST(Plot, DrawsBothFormats) {
  const Plot plot = result_plot(two_strategies(), {.kind = "pareto"});
  const std::string png = drawn_plot(plot, "png");
  ASSERT_GT(png.size(), 24u);
  EXPECT_EQ(png.substr(0, 8), "\x89PNG\r\n\x1a\n");
  const auto big_endian = [&](size_t at) {
    int value = 0;
    for (size_t i = 0; i < 4; ++i) value = 256 * value + static_cast<unsigned char>(png[at + i]);
    return value;
  };
  EXPECT_GT(big_endian(16), 1500);  // two panels, at twice the screen's resolution
  EXPECT_GT(big_endian(20), 700);
  const std::string svg = drawn_plot(plot, "svg");
  EXPECT_EQ(svg.find("<?xml"), 0u);
  EXPECT_EQ(svg.rfind("</svg>"), svg.size() - 8);
  for (const char* text : {"early_exit", "unified", "Pareto front", "de-en, batch 8", "BLEU"}) {
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  }
}

// Numbers that are none do not reach gnuplot, and a panel of one point has an axis.
TEST(Plot, OddPoints) {
  Plot plot{.x_label = "x", .y_label = "y"};
  plot.panels = {{"one", {{.name = "a", .points = {{1, 1, ""}, {NAN, 2, ""}, {2, INFINITY, ""}}}}}};
  EXPECT_EQ(gnuplot_script(plot, "svg").find("inf"), std::string::npos);
  EXPECT_NE(drawn_plot(plot, "svg").find("</svg>"), std::string::npos);
  plot.panels[0].series[0].points.clear();
  EXPECT_THROW(drawn_plot(plot, "svg"), Error);
}

PlotPanel panel_of(std::vector<double> xs) {
  PlotPanel panel{.title = "p", .series = {{.name = "a"}}};
  for (const double x : xs) panel.series[0].points.push_back({x, 1, ""});
  return panel;
}

TEST(Plot, TickLabelsStayApart) {
  // The quickstart at batch 1: ticks at each 1000 had labels that ran into each other.
  EXPECT_EQ(tick_distance(panel_of({1844, 10052}), 430), 2000);
  EXPECT_EQ(tick_distance(panel_of({1844, 10052}), 290), 5000);
  EXPECT_EQ(tick_distance(panel_of({1, 5}), 430), 1);
  EXPECT_EQ(tick_distance(panel_of({7, 7}), 430), 0);
  EXPECT_EQ(tick_distance(panel_of({NAN, 3, INFINITY}), 430), 0);
  for (const double high : {1.0, 3.7, 99.0, 12345.0, 987654.0}) {
    for (const double low : {0.0, 0.3, 0.99}) {
      for (const double width : {290.0, 430.0}) {
        const double distance = tick_distance(panel_of({low * high, high}), width);
        // Labels of six characters at most have 56 pixels each, and a tick is left.
        const double ticks = 1.3 * (1 - low) * high / distance;
        EXPECT_LE(ticks, width / 30) << low << ' ' << high << ' ' << width;
        EXPECT_GE(ticks, 1) << low << ' ' << high << ' ' << width;
      }
    }
  }
}

std::vector<LabelPlace> places_of(const PlotPanel& panel) {
  std::vector<LabelPlace> places;
  for (const PlotPoint& point : panel.series[0].points) places.push_back(point.label_place);
  return places;
}

constexpr auto kAboveRight = LabelPlace::kAboveRight, kBelowRight = LabelPlace::kBelowRight,
               kAboveLeft = LabelPlace::kAboveLeft, kBelowLeft = LabelPlace::kBelowLeft;

// Two points on one spot and two apart: the second's label goes below.
TEST(Plot, LabelsOfNeighboursGoToOtherSides) {
  PlotPanel panel = panel_of({0, 100, 101, 300});
  for (PlotPoint& point : panel.series[0].points) point.label = "2x";
  panel.series[0].points[0].y = 40;
  place_labels(panel, 430, 320);
  EXPECT_EQ(places_of(panel),
            (std::vector<LabelPlace>{kAboveRight, kAboveRight, kBelowRight, kAboveRight}));
  Plot plot{.panels = {panel}};
  EXPECT_NE(gnuplot_script(plot, "svg").find("0.9,-0.7 left"), std::string::npos);
}

// Four labels of one spot have its four corners; a fifth has none of its own.
TEST(Plot, LabelsOfOneSpotTakeItsCorners) {
  PlotPanel panel = panel_of({100, 100, 100, 100, 100, 0, 300});
  for (PlotPoint& point : panel.series[0].points) point.label = "2x";
  panel.series[0].points[5].y = 40;
  place_labels(panel, 430, 320);
  EXPECT_EQ(places_of(panel),
            (std::vector<LabelPlace>{kAboveRight, kBelowRight, kAboveLeft, kBelowLeft, kAboveRight,
                                     kAboveRight, kAboveRight}));
}

// A neighbour's marker stands above right of the first point, whose own label gives way to it.
TEST(Plot, LabelsLeaveMarkersUncovered) {
  PlotPanel panel = panel_of({100, 104, 0, 300});
  for (PlotPoint& point : panel.series[0].points) point.label = "2x";
  panel.series[0].points[1].y += 1;
  panel.series[0].points[2].y = 40;
  place_labels(panel, 430, 320);
  EXPECT_EQ(places_of(panel),
            (std::vector<LabelPlace>{kBelowRight, kAboveRight, kAboveRight, kAboveRight}));
}

TEST(Plot, SimilarityHasAPanelPerTargetAndMeasure) {
  ResultTable table = two_strategies();
  for (size_t i = 0; i < table.rows.size(); ++i) {
    table.rows[i].quality_cell = static_cast<int64_t>(i % 4);  // both batch sizes
  }
  const Plot plot = result_plot(table, {.kind = "similarity"});
  ASSERT_EQ(plot.panels.size(), 4u);
  EXPECT_EQ(plot.panels_per_row, 2);
  EXPECT_EQ(plot.panels[0].title, "de-en, target 2x");
  EXPECT_EQ(plot.panels[0].series.size(), 3u);  // full, unified, early_exit
  EXPECT_EQ(plot.panels[1].series.size(), 2u);
  EXPECT_EQ(plot.panels[2].y_label, "norm / norm of full");
  EXPECT_EQ(series_of(plot.panels[2], "unified").points.at(2).y, 0.5);
  EXPECT_EQ(series_of(plot.panels[0], "unified").points.size(), 3u);
  table.rows.resize(1);  // full alone
  EXPECT_THROW(result_plot(table, {.kind = "similarity"}), Error);
}

TEST(Plot, DivergenceByToken) {
  ResultTable table = two_strategies();
  table.rows.resize(4);
  for (size_t i = 0; i < 4; ++i) table.rows[i].quality_cell = static_cast<int64_t>(i);
  table.rows[1].steps.resize(60, table.rows[1].steps[1]);  // unified 3x
  const Plot plot = result_plot(table, {.kind = "divergence"});
  ASSERT_EQ(plot.panels.size(), 4u);
  EXPECT_EQ(plot.panels[1].title, "de-en, target 3x");
  EXPECT_EQ(plot.panels[0].y_label, "KL to full, nats");
  const auto& kl = series_of(plot.panels[0], "unified").points;
  ASSERT_EQ(kl.size(), 2u);
  EXPECT_EQ(kl[0].x, 0);
  EXPECT_EQ(kl[0].y, 0.5);
  EXPECT_EQ(kl[1].y, 1.5);
  EXPECT_EQ(series_of(plot.panels[2], "unified").points[0].y, 75);
  // Of 60 tokens three share a point: means over the texts that have them.
  const auto& long_kl = series_of(plot.panels[1], "unified").points;
  ASSERT_EQ(long_kl.size(), 20u);
  EXPECT_EQ(long_kl[0].x, 1);
  EXPECT_EQ(long_kl[0].y, (2.0 + 3 + 3) / (4 + 2 + 2));
  EXPECT_EQ(long_kl[19].x, 58);
  EXPECT_EQ(long_kl[19].y, 1.5);
  table.rows[1].steps.clear();  // an older version's
  table.rows[2].steps.clear();
  table.rows[3].steps.clear();
  for (const char* kind : {"divergence", "steps"}) {
    EXPECT_THROW(result_plot(table, {.kind = kind}), Error) << kind;
  }
}

TEST(Plot, StepsAreAHeatMapPerStrategyAndTarget) {
  ResultTable table = two_strategies();
  for (size_t i = 0; i < table.rows.size(); ++i) {
    table.rows[i].quality_cell = static_cast<int64_t>(i % 4);
  }
  table.rows[3].steps[1].cosine[0] = NAN;
  const Plot plot = result_plot(table, {.kind = "steps"});
  ASSERT_EQ(plot.panels.size(), 3u);  // not full
  EXPECT_EQ(plot.panels[0].title, "de-en, unified 3x");
  EXPECT_EQ(plot.panels[2].title, "de-en, early_exit 2x");
  EXPECT_EQ(plot.panels[0].heat, (std::vector<std::vector<double>>{{1, 1, 1}, {1, 0.9, 0.25}}));
  ASSERT_TRUE(plot.heat_scale);
  EXPECT_EQ(plot.heat_scale->low, 0.2);
  const std::string svg = drawn_plot(plot, "svg");
  EXPECT_NE(svg.find("image-rendering='pixelated'"), std::string::npos);
  for (const char* text : {"de-en, unified 3x", "cosine with full", "after layer"}) {
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  }
  EXPECT_EQ(drawn_plot(plot, "png").substr(1, 3), "PNG");
  EXPECT_EQ(result_plot(table, {.kind = "steps", .strategy = "unified"}).panels.size(), 2u);
  EXPECT_THROW(result_plot(table, {.kind = "steps", .strategy = "full"}), Error);
  EXPECT_THROW(result_plot(table, {.kind = "steps", .strategy = "unifid"}), Error);
}

// A single layer and a single token, and colours that are all one.
TEST(Plot, SmallHeatMaps) {
  const DriftLine line{
      .strategy = "a", .cosine = {1}, .steps = {{.texts = 1, .cosine = {1}, .norm_ratio = {1}}}};
  const Plot plot = drift_plot(std::span(&line, 1), "steps");
  EXPECT_EQ(plot.heat_scale->low, 0.9);
  EXPECT_NE(drawn_plot(plot, "svg").find("<image "), std::string::npos);
}

TEST(Plot, DriftOfAProbe) {
  const std::string probe = R"({"strategy": {"name": "unified", "target": 2.0}, "steps": [
      {"texts": 9, "layers": 2, "kl": 1, "top1_agreement": 1, "cosine": [0, 0],
       "norm_ratio": [0, 0]},
      {"texts": 3, "layers": 1, "kl": 0.5, "top1_agreement": 0.6666666666666666,
       "cosine": [1, 0.5], "norm_ratio": [2, 1]},
      {"texts": 1, "layers": 1, "kl": 0.5, "top1_agreement": 0, "cosine": [0, 0.1],
       "norm_ratio": [1, 5]}]})";
  const DriftLine line = probe_drift(probe, "probe.json");
  EXPECT_EQ(line.target, 2);
  EXPECT_NEAR(line.cosine.at(0), 0.75, 1e-12);
  EXPECT_NEAR(line.cosine.at(1), 0.4, 1e-12);
  EXPECT_NEAR(line.norm_ratio.at(1), 2, 1e-12);
  ASSERT_EQ(line.steps.size(), 3u);
  EXPECT_EQ(line.steps[1].agreeing, 2);
  EXPECT_NEAR(line.steps[1].kl, 1.5, 1e-12);
  const Plot plot = drift_plot(std::span(&line, 1), "similarity");
  ASSERT_EQ(plot.panels.size(), 2u);
  EXPECT_TRUE(plot.panels[0].series.back().guide);
  const Plot heat = drift_plot(std::span(&line, 1), "steps");
  ASSERT_EQ(heat.panels.size(), 1u);
  EXPECT_NEAR(heat.panels[0].heat.at(1).at(1), 0.5, 1e-12);
  EXPECT_THROW(drift_plot(std::span(&line, 1), "pareto"), Error);
  for (const char* wrong : {"", "[]", "{}", R"({"strategy": 3})", R"({"strategy": {"name": "a",
       "target": 2}, "steps": []})"}) {
    EXPECT_THROW(probe_drift(wrong, "probe.json"), Error) << wrong;
  }
  // A step without a text, a layer without its norm, and steps of different depths.
  const auto step = [](const char* texts, const char* cosine, const char* ratio) {
    return fmt::format(R"({{"texts": {}, "layers": 2, "kl": 1, "top1_agreement": 1,
        "cosine": {}, "norm_ratio": {}}})",
                       texts, cosine, ratio);
  };
  const std::string good = step("1", "[1, 1]", "[1, 1]");
  for (const auto& wrong : {step("0", "[1, 1]", "[1, 1]"), step("1", "[1, 1]", "[]"),
                            step("1", "[1]", "[1]"), step("1", "[]", "[]")}) {
    const std::string json =
        R"({"strategy": {"name": "a", "target": 2}, "steps": [)" + good + "," + wrong + "]}";
    EXPECT_NE(message_of([&] { probe_drift(json, "probe.json"); }).find("probe.json, step 1"),
              std::string::npos)
        << wrong;
  }
}

TEST(Plot, SaysWhatToInstall) {
  const Plot plot = result_plot(two_strategies(), {.kind = "batch"});
  const std::string path = getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  std::string message;
  try {
    drawn_plot(plot, "svg");
  } catch (const Error& error) {
    message = error.what();
  }
  setenv("PATH", path.c_str(), 1);
  EXPECT_NE(message.find("apt-get install gnuplot-nox"), std::string::npos) << message;
  EXPECT_THROW(draw_plot(plot, "/nonexistent/a.svg"), Error);
}

}  // namespace
}  // namespace skipbench
