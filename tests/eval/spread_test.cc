// What a row says about many runs or many texts: seeds folded into one, spreads of layers, and the
// length that skip_decode is calibrated to.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "engine/base/error.h"
#include "eval/calibration.h"
#include "eval/report/row_statistics.h"
#include "eval/store/database.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

TEST(LayerStatistics, OverStepsTextsAndBatches) {
  std::vector<OutputRecord> outputs(4);
  outputs[0] = {.batch_index = 0, .layers = {6, 2, 4}};
  outputs[1] = {.batch_index = 0, .layers = {6, 6}};
  outputs[2] = {.batch_index = 1, .layers = {6, 5}};
  outputs[3] = {.batch_index = 1, .layers = {6}};  // no step
  const LayerStatistics got = layer_statistics(outputs);
  EXPECT_DOUBLE_EQ(got.mean, 17.0 / 4);
  EXPECT_DOUBLE_EQ(got.deviation,
                   std::sqrt((2 * 2 + 4 * 4 + 6 * 6 + 5 * 5) / 4.0 - 17.0 / 4 * 17.0 / 4));
  EXPECT_EQ(got.text_low, 3);
  EXPECT_EQ(got.text_high, 6);
  EXPECT_NEAR(got.text_deviation, std::sqrt((9 + 36 + 25) / 3.0 - 14.0 / 3 * 14.0 / 3), 1e-12);
  EXPECT_EQ(got.in_batch, 3);  // batch 1 has one text with steps
  EXPECT_FALSE(layer_statistics({}).in_batch);
}

std::string with_strategies(const SweepFolder& folder, const std::string& strategies) {
  std::string text = folder.config_text();
  const size_t begin = text.find("  - unified"), end = text.find("targets:");
  return text.replace(begin, end - begin, strategies);
}

TEST(Seeds, BecomeOneRowWithMeanAndSpread) {
  const SweepFolder folder;
  folder.write_config(with_strategies(folder, "  - {name: random, label: chance, seeds: 5}\n"));
  ASSERT_EQ(folder.run("a.db", {"seed=7"}), SweepOutcome::kDone);
  const Json folded = folder.rows("a.db");
  ASSERT_EQ(folded.size(), 2u + 4u);  // full and one row for each target, at two batch sizes

  // The same seeds as strategies of their own.
  std::string list;
  for (int seed = 7; seed < 12; ++seed) {
    list += fmt::format("  - {{name: random, label: r{}, params: {{seed: {}}}}}\n", seed, seed);
  }
  folder.write_config(with_strategies(folder, list));
  ASSERT_EQ(folder.run("b.db"), SweepOutcome::kDone);
  const Json single = folder.rows("b.db");
  for (size_t i = 2; i < folded.size(); ++i) {
    const Json& row = folded[i];
    EXPECT_EQ(row["strategy"], "chance");
    EXPECT_EQ(row["seeds"], 5);
    EXPECT_EQ(row["layers"], row["target"] == 1.5 ? 4.0 : 2.0);
    std::vector<double> scores;
    double differ = 0;
    for (const Json& other : single) {
      if (other["strategy"] == "full" || other["target"] != row["target"]) continue;
      if (other["batch"] != row["batch"]) continue;
      scores.push_back(other["scores"][1]["score"]);
      differ += other["differs_from_full"].get<double>();
    }
    ASSERT_EQ(scores.size(), 5u);
    double sum = 0, squares = 0;
    for (const double score : scores) sum += score, squares += score * score;
    EXPECT_NEAR(row["scores"][1]["score"].get<double>(), sum / 5, 1e-12);
    EXPECT_NEAR(row["scores"][1]["deviation_over_seeds"].get<double>(),
                std::sqrt(std::max(0.0, (squares - sum * sum / 5) / 4)), 1e-9);
    EXPECT_NEAR(row["differs_from_full"].get<double>(), differ / 5, 1e-12);
    EXPECT_GT(row["speedup"].get<double>(), 0);
  }
}

TEST(DifferFromFull, IsTheShareOfOtherTextsOfTheSameData) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db"), SweepOutcome::kDone);
  const auto change = [&](const std::string& sql) {
    Database(folder.path("a.db"), OpenMode::kReadWrite).execute(sql);
  };
  const auto quality_cells = [](const std::string& strategy) {
    return "(SELECT id FROM cells WHERE kind = 'quality' AND resolved ->> '$.strategy' = '" +
           strategy + "')";
  };
  // Of 7 texts `full` has two of its own, one of them `unified` as well.
  change("UPDATE outputs SET text = 'same'");
  change("UPDATE outputs SET text = 'Same' WHERE idx IN (1, 4) AND cell_id IN " +
         quality_cells("full"));
  change("UPDATE outputs SET text = 'Same' WHERE idx = 1 AND cell_id IN " +
         quality_cells("unified"));
  for (const Json& row : folder.rows("a.db")) {
    const double different = row["strategy"] == "full" ? 0 : row["strategy"] == "unified" ? 1 : 2;
    EXPECT_EQ(row["differs_from_full"], different / 7) << row;
  }
  change("UPDATE cells SET status = 'interrupted' WHERE id IN " + quality_cells("full"));
  for (const Json& row : folder.rows("a.db")) {
    EXPECT_TRUE(row["differs_from_full"].is_null()) << row;
  }
}

TEST(Seeds, NeedAStrategyThatHasOne) {
  const SweepFolder folder;
  folder.write_config(with_strategies(folder, "  - {name: unified, seeds: 5}\n"));
  try {
    folder.setup();
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("'unified' has no seed"), std::string::npos);
  }
}

TEST(SelfSpeculativeSweep, SameScoresAsFullAndWhatWasDrafted) {
  const SweepFolder folder;
  folder.write_config(with_strategies(folder, "  - self_speculative\n"));
  ASSERT_EQ(folder.run("a.db", {"targets=[1, 3]"}), SweepOutcome::kDone);
  const Json rows = folder.rows("a.db");
  ASSERT_EQ(rows.size(), 6u);
  for (size_t i = 2; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i]["status"], "done");
    EXPECT_EQ(rows[i]["scores"], rows[0]["scores"]);
    EXPECT_EQ(rows[i]["differs_from_full"], 0.0);
    const auto drafted = rows[i]["drafted"].get<double>();
    const auto accepted = rows[i]["accepted"].get<double>();
    EXPECT_GE(rows[i]["verify_calls"].get<double>(), 7);  // texts
    if (drafted > 0) {
      EXPECT_EQ(rows[i]["acceptance"].get<double>(), accepted / drafted);
    }
    if (rows[i]["target"] == 1.0) {
      EXPECT_EQ(drafted, accepted);
    }
    EXPECT_GT(rows[i]["bound"].get<double>(), 0);
  }
  EXPECT_TRUE(rows[0]["drafted"].is_null());
}

std::vector<ScoreRequest> texts_of_lengths(const std::vector<int>& lengths) {
  std::vector<ScoreRequest> texts;
  for (const int length : lengths) texts.push_back({{1}, TokenIds(static_cast<size_t>(length), 2)});
  return texts;
}

TEST(SkipDecodeCalibration, ReachesTheBudgetWithinOnePercent) {
  for (const auto& lengths :
       {std::vector<int>{40}, {3, 17, 90, 41}, {64, 64, 64}, {200, 5, 5, 5}}) {
    const auto texts = texts_of_lengths(lengths);
    for (const double target : {1.5, 2.0, 3.0, 5.0}) {
      const StrategySpec spec{.name = "skip_decode", .target = target};
      ASSERT_TRUE(param_to_calibrate(spec, 30));
      const Calibration found = calibrate_length(spec, "expected_length", 30, texts, 2, 1 << 20);
      // Counted once more, step by step.
      StrategySpec with = spec;
      with.params["expected_length"] = {found.value, "test"};
      const auto strategy = make_strategy(with, 30);
      double layers = 0, steps = 0;
      for (const int length : lengths) {
        for (int t = 0; t + 1 < length; ++t) {
          layers += strategy->step_layers(30, t).layers();
          ++steps;
        }
      }
      EXPECT_NEAR(found.realised_budget, layers / steps, 1e-9);
      EXPECT_NEAR(layers / steps, std::floor(30 / target), 0.01 * std::floor(30 / target))
          << "target " << target << ", first length " << lengths[0];
      EXPECT_TRUE(found.on_target);
    }
  }
  EXPECT_THROW(calibrate_length({.name = "skip_decode", .target = 2}, "expected_length", 30,
                                texts_of_lengths({1, 1}), 2, 1 << 20),
               Error);
}

// Texts so short that every whole length misses by more than 3 %.
TEST(SkipDecodeCalibration, ALengthBetweenTwoWholeOnes) {
  const auto texts = texts_of_lengths({9, 8});
  for (const double target : {1.5, 2.0}) {
    StrategySpec spec{.name = "skip_decode", .target = target};
    const Calibration found = calibrate_length(spec, "expected_length", 30, texts, 2, 1 << 20);
    const double length = std::stod(found.value);
    EXPECT_NE(length, std::floor(length)) << found.value;
    EXPECT_GT(length, 7);
    EXPECT_LT(length, 8);
    EXPECT_TRUE(found.on_target);
    spec.params["expected_length"] = {found.value, "test"};
    const auto strategy = make_strategy(spec, 30);
    double layers = 0;
    for (int t = 0; t < 8; ++t) layers += strategy->step_layers(30, t).layers() * (t < 7 ? 2 : 1);
    EXPECT_NEAR(layers / 15, std::floor(30 / target), 0.01 * std::floor(30 / target));
  }
}

TEST(SkipDecodeCalibration, NothingToFindWhereTheNumberNeverFalls) {
  EXPECT_FALSE(param_to_calibrate({.name = "skip_decode", .target = 15}, 30));  // K = 2
  EXPECT_FALSE(param_to_calibrate({.name = "skip_decode", .target = 1}, 30));
  EXPECT_FALSE(param_to_calibrate(
      {.name = "skip_decode", .target = 2, .params = {{"expected_length", {"9", ""}}}}, 30));
}

TEST(EarlyExitCells, TheThresholdDecaysOverTheSweepsNewTokens) {
  const SweepFolder folder;
  const auto cell = [&](const std::string& params) {
    return folder
        .setup({"targets=[1.5]", "strategies=[{name: early_exit, params: {" + params + "}}]"})
        .cells.at(0);
  };
  const Cell by_tau = cell("decay_tau: 4");
  const Cell both = cell("decay_tau: 4, decay_length: 9");
  const Cell longer = cell("decay_tau: 4, decay_length: 10");
  EXPECT_EQ(by_tau.spec.params.at("decay_length").text, "9");
  EXPECT_EQ(by_tau.identity, both.identity);
  EXPECT_EQ(by_tau.calibration_identity, both.calibration_identity);
  EXPECT_NE(by_tau.calibration_identity, longer.calibration_identity);
  // What was stored without a decay is found again.
  EXPECT_EQ(cell("min_layer: 1").spec.params.count("decay_length"), 0u);
}

TEST(SkipDecodeCalibration, ASweepStoresAndReusesIt) {
  const SweepFolder folder;
  folder.write_config(with_strategies(folder, "  - skip_decode\n"));
  ASSERT_EQ(folder.run("a.db", {"targets=[1.5]"}), SweepOutcome::kDone);
  const Json rows = folder.untimed_rows("a.db");
  EXPECT_EQ(rows[2]["calibration"]["parameter"], "expected_length");
  EXPECT_GE(std::stod(rows[2]["calibration"]["expected_length"].get<std::string>()), 2);
  EXPECT_EQ(rows[2]["calibration"]["budget"], 4.0);
  ASSERT_EQ(folder.run("a.db", {"targets=[1.5]"}), SweepOutcome::kDone);
  EXPECT_EQ(folder.untimed_rows("a.db"), rows);
}

}  // namespace
}  // namespace skipbench
