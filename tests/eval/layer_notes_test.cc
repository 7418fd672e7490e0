// Rows that ran more or fewer layers than the budget of their target are named below a table.
#include "eval/report/layer_notes.h"

#include <gtest/gtest.h>

#include "eval/report/render.h"
#include "eval/report/report.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;
using Notes = std::vector<std::string>;

TableRow scored_row(const std::string& strategy, double target, double layers) {
  TableRow row;
  row.strategy = row.strategy_name = strategy;
  row.target = target;
  row.dataset = row.data_name = "SciTLDR";
  row.status = "done";
  row.layers = LayerStatistics{.mean = layers};
  return row;
}

ResultTable table_with(std::vector<TableRow> rows) {
  ResultTable table;
  table.run.config = "{}";
  table.run.num_layers = 30;
  table.rows = std::move(rows);
  return table;
}

TEST(BudgetNotes, NameDirectionAndNumbers) {
  const ResultTable table =
      table_with({scored_row("full", 1, 30), scored_row("unified", 2, 15),
                  scored_row("skip_decode", 2, 18.1), scored_row("adaskip", 2, 14.02),
                  scored_row("skip_decode", 3, 12.5), scored_row("adaskip", 3, 9.95)});
  EXPECT_EQ(
      layer_notes(table),
      (Notes{"While scored, these rows of the run ran over 1 % more layers per decoding step than "
             "their "
             "budget K, which favours their quality: skip_decode 2x (18.10 of 15), 3x (12.50 "
             "of 10).",
             "While scored, these rows of the run ran over 1 % fewer layers per decoding step than "
             "their budget K, which handicaps their quality: adaskip 2x (14.02 of 15)."}));
}

// The tolerance is that of a calibration.
TEST(BudgetNotes, OnePercentIsOnBudget) {
  for (const double on : {14.86, 15.14, 15.0}) {
    EXPECT_EQ(layer_notes(table_with({scored_row("random", 2, on)})), Notes{}) << on;
  }
  for (const double off : {14.84, 15.16}) {
    EXPECT_EQ(layer_notes(table_with({scored_row("random", 2, off)})).size(), 1u) << off;
  }
}

TEST(BudgetNotes, RowsWithoutABudgetAreNotNamed) {
  TableRow full = scored_row("full", 1, 20), drafts = scored_row("self_speculative", 2, 70.9);
  full.strategy = "whole model";
  drafts.verify_calls = 100;
  TableRow chosen = scored_row("layers", 1, 7), failed = scored_row("unified", 2, 0);
  failed.layers.reset();
  const TableRow beyond = scored_row("unified", 40, 2);
  EXPECT_EQ(layer_notes(table_with({full, drafts, chosen, failed, beyond})), Notes{});
  ResultTable unknown = table_with({scored_row("unified", 2, 9)});
  unknown.run.num_layers = 0;
  EXPECT_EQ(layer_notes(unknown), Notes{});
  // A list that was given a target is measured by it, and so is a plug-in's strategy.
  EXPECT_EQ(
      layer_notes(table_with({scored_row("layers", 2, 7), scored_row("plugged", 3, 11)})),
      (Notes{"While scored, these rows of the run ran over 1 % more layers per decoding step than "
             "their "
             "budget K, which favours their quality: plugged 3x (11.00 of 10).",
             "While scored, these rows of the run ran over 1 % fewer layers per decoding step than "
             "their budget K, which handicaps their quality: layers 2x (7.00 of 15)."}));
}

TEST(BudgetNotes, ACalibrationOffTargetSaysItAlready) {
  TableRow marked = scored_row("ffn_skip", 2, 22.3), on = scored_row("early_exit", 2, 16);
  marked.calibration = TableCalibration{.budget = 15, .realised_budget = 22, .on_target = false};
  on.calibration = TableCalibration{.budget = 15, .realised_budget = 15, .on_target = true};
  EXPECT_EQ(layer_notes(table_with({marked})), Notes{});
  const Notes notes = layer_notes(table_with({marked, on}));
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_TRUE(notes[0].ends_with(": early_exit 2x (16.00 of 15) (beside those marked off target)."))
      << notes[0];
}

// Forty rows are one line: a point at several batch sizes stands once, a strategy's points
// together.
TEST(BudgetNotes, ManyRowsAreOneLine) {
  std::vector<TableRow> rows;
  for (const char* dataset : {"de-en", "zh-en"}) {
    for (const char* strategy : {"skip_decode", "adaskip"}) {
      for (const double target : {2.0, 2.5, 3.0, 5.0, 10.0}) {
        for (const int64_t batch : {1, 8}) {
          TableRow row = scored_row(strategy, target, 30 / target + 1);
          row.dataset = dataset;
          row.batch = batch;
          rows.push_back(std::move(row));
        }
      }
    }
  }
  const std::string points =
      " 2x (16.00 of 15), 2.5x (13.00 of 12), 3x (11.00 of 10), 5x (7.00 of 6), 10x (4.00 of 3)";
  EXPECT_EQ(layer_notes(table_with(rows)),
            (Notes{"While scored, these rows of the run ran over 1 % more layers per decoding step "
                   "than their "
                   "budget K, which favours their quality: skip_decode, de-en," +
                   points + "; adaskip, de-en," + points + "; skip_decode, zh-en," + points +
                   "; adaskip, zh-en," + points + "."}));
}

// A point of a matrix over models has the number of layers of its own model.
TEST(BudgetNotes, OfThePointsModel) {
  TableRow row = scored_row("unified", 2, 15);
  row.variant = "model=small";
  ResultTable table = table_with({row});
  EXPECT_EQ(layer_notes(table), Notes{});
  table.variants.push_back({.variant = "model=small", .num_layers = 24});
  ASSERT_EQ(layer_notes(table).size(), 1u);
  EXPECT_NE(layer_notes(table)[0].find("more layers"), std::string::npos);
  EXPECT_NE(layer_notes(table)[0].find("unified 2x (15.00 of 12)"), std::string::npos);
}

// In every format, from a real sweep: a list of three of six layers at a target of 1.5 has one too
// few.
TEST(BudgetNotes, StandInEveryFormat) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"timing.repetitions=0",
                                "strategies=[full, {name: layers, label: chosen, targets: [1.5], "
                                "params: {layers: 0-2}}, {name: unified, targets: [2]}]"}),
            SweepOutcome::kDone);
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  const ResultTable table = load_result_table(store);
  const std::string want = "handicaps their quality: chosen 1.5x (3.00 of 4).";
  for (const char* format : {"md", "latex"}) {
    EXPECT_NE(render_table(table, format).find(want), std::string::npos) << format;
  }
  EXPECT_NE(Json::parse(render_table(table, "json")).at("notes").dump().find(want),
            std::string::npos);
  EXPECT_NE(html_report(store, table, {}).find(want), std::string::npos);
  const std::string others = render_table(table, "md", {.where = {"strategy=full,unified"}});
  EXPECT_EQ(others.find("budget K, which"), std::string::npos) << others;
}

}  // namespace
}  // namespace skipbench
