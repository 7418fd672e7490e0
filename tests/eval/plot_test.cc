// Plots: which points they have, that names stay text, and what gnuplot makes of them.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/base/error.h"
#include "eval/report/result_plots.h"

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
  const auto front = pareto_front({{1, 5}, {2, 5}, {3, 1}, {2.5, 3}, {2.5, 2}, {0.5, 9}, {3, 0}});
  std::vector<std::pair<double, double>> got;
  for (const PlotPoint& point : front) got.emplace_back(point.x, point.y);
  const std::vector<std::pair<double, double>> want = {{0.5, 9}, {2, 5}, {2.5, 3}, {3, 1}};
  EXPECT_EQ(got, want);
  EXPECT_TRUE(pareto_front({}).empty());
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
