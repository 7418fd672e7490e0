// Tables: layouts, LaTeX, conditions, and paired tests of stored outputs.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "eval/report/comparison.h"
#include "eval/report/grid.h"
#include "eval/report/render.h"
#include "eval/report/result_plots.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

TableRow row(const std::string& strategy, double target, int64_t batch, const std::string& dataset,
             double score) {
  TableRow made;
  made.strategy = strategy;
  made.target = target;
  made.batch = batch;
  made.dataset = dataset;
  made.status = "done";
  made.scores = {{"BLEU", "BLEU|x", score, std::nullopt}};
  made.total_per_second = 100.0 * target + static_cast<double>(batch);
  made.total_speedup = target / 2;
  made.first_token_ms = 12.5;
  return made;
}

ResultTable two_directions() {
  ResultTable table;
  table.run.config = "{}";
  for (const char* dataset : {"de-en", "zh_en"}) {
    const double extra = dataset == std::string("de-en") ? 0 : 10;
    for (const int64_t batch : {8, 1}) {
      table.rows.push_back(row("unified", 2, batch, dataset, 20 + extra));
      table.rows.push_back(row("full", 1, batch, dataset, 30 + extra));
    }
  }
  table.rows[0].scores[0].best = true;
  return table;
}

TEST(Table, PapersLayoutAveragesOverDirections) {
  const std::string csv = render_table(two_directions(), "csv", {.name = "paper"});
  EXPECT_EQ(csv,
            "batch,target,approach,de-en BLEU,zh_en BLEU,average,total tok/s,total speedup/target\n"
            "1,1x,full,30.00,40.00,35.00,101.0,0.50\n"
            "1,2x,unified,20.00,30.00,25.00,201.0,0.50\n"
            "8,1x,full,30.00,40.00,35.00,108.0,0.50\n"
            "8,2x,unified,20.00,30.00,25.00,208.0,0.50\n");
}

TEST(Table, PublishedNumbersStandBesideOnesOwn) {
  const auto published =
      read_published("paper", std::string(SKIPBENCH_SOURCE_DIR) + "/results/paper_table4.json");
  EXPECT_EQ(published.total_per_second(8, 2, "unified"), 503);
  EXPECT_NEAR(published.speedup(8, 2, "unified").value(), 1.66, 0.005);
  EXPECT_NEAR(published.speedup(8, 5, "unified").value(), 3.31, 0.005);
  EXPECT_FALSE(published.speedup(1, 2, "unified"));
  EXPECT_FALSE(published.total_per_second(8, 2, "early_exit"));
  ResultTable table;
  for (const auto& [strategy, target] :
       {std::pair("full", 1.0), {"unified", 2.0}, {"other", 2.0}}) {
    TableRow row;
    row.strategy = strategy;
    row.target = target;
    row.dataset = "d";
    row.batch = 8;
    row.status = "done";
    table.rows.push_back(row);
  }
  const std::string text = render_table(table, "csv", {.name = "paper", .beside = published});
  EXPECT_NE(text.find("paper total tok/s,paper total speedup/target"), std::string::npos) << text;
  EXPECT_NE(text.find("8,2x,unified,,,,,503,0.83"), std::string::npos) << text;
  EXPECT_NE(text.find("8,2x,other,,,,,,"), std::string::npos) << text;
  EXPECT_NE(render_table(table, "md", {.name = "paper", .beside = published}).find("2404.06954"),
            std::string::npos);
  EXPECT_THROW(render_table(table, "md", {.beside = published}), Error);
  EXPECT_THROW(read_published("x", std::string(SKIPBENCH_SOURCE_DIR) + "/README.md"), Error);
}

TEST(Table, PapersLayoutHasNoAverageOfSome) {
  ResultTable table = two_directions();
  table.rows[4].scores.clear();
  table.rows[4].status = "failed";
  const std::string csv = render_table(table, "csv", {.name = "paper"});
  EXPECT_NE(csv.find("8,2x,unified,20.00,failed,,208.0,0.50\n"), std::string::npos) << csv;
}

TEST(Table, LatexEscapesAndMarksTheBest) {
  ResultTable table = two_directions();
  table.rows[0].strategy = "50%_a&b#{x}~\\^$";
  const std::string latex = render_table(table, "latex", {.name = "paper"});
  for (const char* part : {"\\toprule", "\\midrule\n8 &", "\\bottomrule", "\\textbf{20.00}",
                           "50\\%\\_a\\&b\\#\\{x\\}\\textasciitilde{}\\textbackslash{}"
                           "\\textasciicircum{}\\$",
                           "zh\\_en BLEU", "\\texttt{BLEU\\textbar{}x}"}) {
    EXPECT_NE(latex.find(part), std::string::npos) << part << " not in " << latex;
  }
}

// LaTeX reads on after a row's end: \\[u] would be a length, \\* no page break.
TEST(Table, LatexTakesNoNameForAnOption) {
  const Grid grid{.header = {"strategy"},
                  .rows = {{{"[u] `x"}}, {{"*u"}}, {{"u [1]"}}},
                  .remarks = {"[u] `x is bare", "`a` and `b"}};
  const std::string latex = latex_grid(grid);
  for (const char* part : {"\\\\\n{}*u \\\\\nu [1] \\\\\n", "\\midrule\n{}[u] `x \\\\\n",
                           "[u] `x is bare\\par", "\\texttt{a} and `b\\par"}) {
    EXPECT_NE(latex.find(part), std::string::npos) << part << " not in " << latex;
  }
}

TEST(Table, ColumnsRowsAndConditions) {
  const ResultTable table = two_directions();
  EXPECT_EQ(render_table(table, "csv",
                         {.rows = {"batch"},
                          .columns = {"strategy", "BLEU", "first token ms"},
                          .where = {"dataset=zh_en", "strategy=full,other"}}),
            "batch,strategy,BLEU,first_token_ms\n1,full,40,12.5\n8,full,40,12.5\n");
  const std::string usual = render_table(table, "md");
  EXPECT_EQ(usual.find("first token ms"), std::string::npos);  // only on request
  EXPECT_NE(usual.find("**20.00**"), std::string::npos);
  EXPECT_EQ(render_table(table, "csv", {.columns = {"target"}, .where = {"target=2.0"}}),
            "target\n2\n2\n2\n2\n");
  for (const TableLayout& wrong :
       {TableLayout{.name = "papr"}, TableLayout{.columns = {"bach"}}, TableLayout{.rows = {"x"}},
        TableLayout{.where = {"batch"}}, TableLayout{.where = {"bach=1"}}}) {
    EXPECT_THROW(render_table(table, "md", wrong), Error);
  }
}

TEST(Table, AConditionThatNoRowMeets) {
  const ResultTable table = two_directions();
  const auto message = [&](const TableLayout& layout) {
    return message_of([&] { render_table(table, "md", layout); });
  };
  EXPECT_EQ(message({.where = {"batch=99"}}),
            "--where: no row matches; expected batch=8, batch=1, got batch=99");
  EXPECT_EQ(message({.where = {"batch=8", "target=1.5,3"}}),
            "--where: no row matches; expected target=2, target=1, got target=1.5,3");
  EXPECT_NE(message({.where = {"status=oom"}}).find("expected status=done"), std::string::npos);
  EXPECT_NO_THROW(render_table(ResultTable(), "md", {.where = {"batch=99"}}));
}

// The share of an asked-for speedup needs one that was asked for.
TEST(Table, AStrategyWithoutATargetHasNoShareOfOne) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"batch_sizes=[1]", "timing.repetitions=1",
                                "strategies=[full, {name: layers, label: chosen, params: {layers: "
                                "0-2}}, {name: layers, label: aimed, targets: [2], params: "
                                "{layers: 0-2}}, {name: unified, targets: [1]}]"}),
            SweepOutcome::kDone);
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  const ResultTable table = load_result_table(store);
  const Json rows = Json::parse(render_table(table, "json")).at("rows");
  ASSERT_EQ(rows.size(), 4u);
  for (const Json& row : rows) {
    const Json& share = row.at("speedup_per_target");
    if (row.at("strategy") == "chosen") {
      EXPECT_TRUE(share.is_null()) << row;
    } else {
      EXPECT_EQ(share, row.at("speedup").get<double>() / row.at("target").get<double>()) << row;
    }
  }
  EXPECT_EQ(rows[0].at("speedup_per_target"), 1.0);
  const std::string paper = render_table(table, "csv", {.name = "paper"});
  for (const char* name : {"full", "chosen", "aimed", "unified"}) {
    const size_t line = paper.find(std::string(",") + name + ",");
    ASSERT_NE(line, std::string::npos) << paper;
    EXPECT_EQ(paper[paper.find('\n', line) - 1] == ',', std::string(name) == "chosen") << paper;
  }
  const Plot plot = result_plot(table, {.kind = "target"});
  for (const PlotSeries& series : plot.panels.at(0).series) EXPECT_NE(series.name, "chosen");
}

TEST(Table, RowsTimedOnOtherNumbersOfLayersAreNamed) {
  ResultTable table = two_directions();
  for (TableRow& row : table.rows) {
    row.layers = LayerStatistics{.mean = 20};
    row.timed_layers = 20.9;
  }
  const char* const kNote = "numbers of layers more than 5 % apart: ";
  EXPECT_EQ(render_table(table, "md").find(kNote), std::string::npos);
  for (TableRow& row : table.rows) {
    if (row.strategy == "unified" && row.dataset == "zh_en") row.timed_layers = 9.8;
  }
  table.rows[0].timed_layers = 21.1;  // not at the other batch size
  const std::string want = std::string(kNote) +
                           "unified 2x, de-en, batch 8 (scored 20.00, timed 21.10); "
                           "unified 2x, zh_en (scored 20.00, timed 9.80). Where ";
  const std::string text = render_table(table, "md");
  EXPECT_NE(text.find(want), std::string::npos) << text;
  EXPECT_NE(text.find("`timing.new_tokens` near"), std::string::npos) << text;
  const Json notes = Json::parse(render_table(table, "json")).at("notes");
  EXPECT_NE(notes.dump().find(want), std::string::npos) << notes;
  const std::string some = render_table(table, "md", {.where = {"dataset=zh_en"}});
  EXPECT_NE(some.find("apart: unified 2x (scored 20.00, timed 9.80)."), std::string::npos) << some;
  for (TableRow& row : table.rows) row.layers.reset();  // not scored
  EXPECT_EQ(render_table(table, "md").find(kNote), std::string::npos);
}

// BLEU's ends are those of the bootstrap of the row's own outputs, by either test, and stand in
// JSON and CSV.
void expect_intervals(ResultStore& store, const ResultTable& table, const Json& json) {
  const auto metric = make_sweep_metric("bleu", {{"tokenize", "13a"}}, "test");
  const std::string csv =
      render_table(table, "csv", {.columns = {"BLEU", "BLEU low", "BLEU high"}});
  std::string want = "BLEU,BLEU low,BLEU high\n";
  for (size_t i = 0; i < table.rows.size(); ++i) {
    std::vector<std::string> texts;
    std::vector<std::vector<std::string>> references;
    for (const OutputRecord& output : store.outputs(table.rows[i].quality_cell)) {
      texts.push_back(output.text);
      references.push_back(output.references);
    }
    const auto interval =
        bootstrap_intervals(*metric, segment_statistics(*metric, texts, references), {})[0];
    const Json& score = json.at("rows")[i].at("scores")[0];
    EXPECT_EQ(score.at("name"), "BLEU");
    EXPECT_EQ(score.at("low"), interval.low);
    EXPECT_EQ(score.at("high"), interval.high);
    want += fmt::format("{},{},{}\n", table.rows[i].scores[0].value, interval.low, interval.high);
  }
  EXPECT_EQ(csv, want);
  EXPECT_TRUE(json.at("interval").get<std::string>().starts_with("low and high: 95 %"));
  EXPECT_EQ(render_table(table, "md").find("BLEU low"), std::string::npos);  // on request
}

class TestedTable : public testing::TestWithParam<PairedTest> {};

// Outputs are put where the answer is known: the reference itself must be significantly better,
// `full`'s own outputs not different at all.
TEST_P(TestedTable, PairedTestsOfStoredOutputs) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"timing.repetitions=0"}), SweepOutcome::kDone);
  {
    Database database(folder.path("a.db"), OpenMode::kReadWrite);
    const auto cell = [](const std::string& strategy, double target) {
      return "(SELECT c.id FROM cells c JOIN run_cells r ON r.cell_id = c.id WHERE c.kind ="
             " 'quality' AND r.strategy = '" +
             strategy + "' AND r.target = " + std::to_string(target) + ")";
    };
    database.execute("UPDATE outputs SET text = reference ->> '$[0]' WHERE cell_id = " +
                     cell("unified", 1.5));
    database.execute(
        "UPDATE outputs SET text = (SELECT o.text FROM outputs o WHERE o.idx ="
        " outputs.idx AND o.cell_id = " +
        cell("full", 1) + ") WHERE cell_id = " + cell("unified", 3));
  }
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  ResultTable table = load_result_table(store);
  for (TableRow& shown : table.rows) {  // as if it had been scored so
    if (shown.strategy != "unified" || shown.target != 1.5) continue;
    for (TableScore& score : shown.scores) score.value = 100;
  }
  compare_strategies(store, table, {.test = GetParam()});
  const Json json = Json::parse(render_table(table, "json"));
  int tested = 0;
  for (const Json& shown : json.at("rows")) {
    for (const Json& score : shown.at("scores")) {
      const bool better = shown.at("strategy") == "unified" && shown.at("target") == 1.5;
      if (shown.at("target") == 1.5) {
        EXPECT_EQ(score.at("best"), better) << shown;
      }
      if (shown.at("strategy") == "full") {
        EXPECT_TRUE(score.at("p_value").is_null());
      } else if (better) {
        EXPECT_LT(score.at("p_value").get<double>(), 0.05) << shown;
        ++tested;
      } else if (shown.at("strategy") == "unified") {
        EXPECT_EQ(score.at("p_value"), 1.0) << shown;
        ++tested;
      }
    }
  }
  EXPECT_EQ(tested, 10);  // BLEU and four ROUGE of two cells
  expect_intervals(store, table, json);
  EXPECT_THROW(compare_strategies(store, table, {.baseline = "fool"}), Error);
}

TEST(Table, EarlierRunsAreNotedAndCanBeShown) {
  const SweepFolder folder;
  const auto run = [&](const std::string& override) {
    ASSERT_EQ(folder.run("a.db", {"timing.repetitions=0", override}), SweepOutcome::kDone);
  };
  run("targets=[3]");
  run("targets=[3]");
  const auto table = [&](std::optional<int64_t> wanted = std::nullopt) {
    ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
    return load_result_table(store, wanted);
  };
  EXPECT_EQ(render_table(table(), "md").find(" of this file "), std::string::npos);
  run("targets=[1.5]");
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nnot in\n" << text;
  };
  expect(render_table(table(), "md"),
         "2 earlier runs of this file hold 2 more cells (`table --run N` shows one");
  run("strategies=[full]");
  expect(render_table(table(), "md"), "3 earlier runs of this file hold 4 more cells");
  const Json first = Json::parse(render_table(table(1), "json"));
  EXPECT_EQ(first.at("run").at("id"), 1);
  EXPECT_EQ(first.at("other_runs"), (Json{{"runs", 1}, {"cells", 2}}));
  ASSERT_EQ(first.at("rows").size(), 3u);
  EXPECT_EQ(first.at("rows")[1].at("target"), 3.0);
  EXPECT_FALSE(first.at("rows")[1].at("scores").empty());
  expect(render_table(table(1), "md"), "1 other run of this file holds 2 more cells");
  EXPECT_EQ(table(3).rows[1].target, 1.5);
  EXPECT_TRUE(
      message_of([&] {
        table(9);
      }).starts_with("--run: the results file has no such run; expected 1, 2, 3, 4, got 9"));
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  const auto runs = stored_runs(store.database());
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_EQ(runs[3].cells, 1);
  EXPECT_TRUE(render_runs(runs).starts_with("1  " + table(1).started + "  3 cells  "));
}

std::string tested_against(const SweepFolder& folder, const std::string& baseline,
                           const std::string& format) {
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  ResultTable table = load_result_table(store);
  compare_strategies(store, table, {.baseline = baseline, .settings = {.resamples = 20}});
  return render_table(table, format);
}

TEST(Table, WhatIsNotTestedIsNamedWithTheReason) {
  const SweepFolder folder;
  ASSERT_EQ(
      folder.run("a.db", {"timing.repetitions=0", "datasets.de-en.metrics=[bleu, kl]",
                          "strategies=[full, {name: unified, targets: [1.5, 3]}, {name: "
                          "fixed_exit, targets: [2]}, {name: random, label: chance, seeds: 2}]",
                          "targets=[3]"}),
      SweepOutcome::kDone);
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nnot in\n" << text;
  };
  const std::string kSeeds =
      "No p of BLEU, KL for chance: a mean over runs has no outputs of its own.";
  const std::string kTargets =
      "No p of BLEU, KL for full, fixed_exit: `unified` has rows at 1.5x and 3x and none at this "
      "target.";
  for (const char* format : {"md", "json"}) {
    const std::string unified = tested_against(folder, "unified", format);
    expect(unified, kTargets);
    expect(unified, kSeeds);
  }
  expect(tested_against(folder, "unified", "latex"), "No p of BLEU, KL for full, fixed\\_exit");
  const std::string full = tested_against(folder, "full", "md");
  expect(full, "No p of KL for unified, fixed_exit: it is measured against `full` itself.");
  EXPECT_EQ(full.find("No p of BLEU for"), std::string::npos) << full;
  expect(tested_against(folder, "chance", "md"),
         "No p of BLEU, KL for full, unified, fixed_exit: `chance` is a mean over runs,");
  const Json json = Json::parse(tested_against(folder, "unified", "json"));
  for (const Json& shown : json.at("rows")) {
    for (const Json& score : shown.at("scores")) {
      EXPECT_EQ(score.contains("untested"), shown.at("strategy") != "unified") << shown;
    }
  }
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  EXPECT_EQ(render_table(load_result_table(store), "md").find("No p of"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Each, TestedTable,
                         testing::Values(PairedTest::kBootstrap, PairedTest::kRandomisation));

}  // namespace
}  // namespace skipbench
