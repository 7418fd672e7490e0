// What a table says of single batches and steps, from raw times that are known.
#include "eval/report/cell_times.h"

#include <gtest/gtest.h>

#include "eval/report/render.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

class CellTimes : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new SweepFolder();
    ASSERT_EQ(folder_->run("a.db"), SweepOutcome::kDone);
    Database(folder_->path("a.db"), OpenMode::kReadWrite)
        .execute(
            "UPDATE samples SET step_us = '[2e4, 1e3, 2e3, 3e3, 4e3, 5e3, 6e3, 7e3, 8e3, 9e3, 1e4,"
            " 1.1e4, 1.2e4, 1.3e4, 1.4e4, 1.5e4, 1.6e4, 1.7e4, 1.8e4, 1.9e4]', decode_us = 1000;"
            "UPDATE samples SET exit_test_us = 250 WHERE exit_tests > 0;"
            "UPDATE samples SET decode_us = 1e6, decode_tokens = 30 WHERE group_id = 0");
  }
  static void TearDownTestSuite() { delete folder_; }

  static ResultTable table() {
    ResultStore store(folder_->path("a.db"), OpenMode::kReadOnly);
    return load_result_table(store);
  }

  static SweepFolder* folder_;
};
SweepFolder* CellTimes::folder_ = nullptr;

TEST_F(CellTimes, PercentilesAreNearestRanks) {
  for (const TableRow& row : table().rows) {
    EXPECT_EQ(row.step_p50_ms, 10);
    EXPECT_EQ(row.step_p90_ms, 18);
    EXPECT_EQ(row.step_p95_ms, 19);
    EXPECT_EQ(row.step_p99_ms, 20);
  }
  const std::string csv = render_table(
      table(), "csv", {.columns = {"batch", "step_p90_ms", "step_p95_ms"}, .where = {"target=3"}});
  EXPECT_EQ(csv, "batch,step_p90_ms,step_p95_ms\n1,18,19\n3,18,19\n1,18,19\n3,18,19\n");
  EXPECT_EQ(render_table(table(), "md").find("step p90"), std::string::npos);  // on request
}

// Of one repetition there is none, which is not the same as no spread.
TEST(Spread, NeedsTwoRepetitions) {
  const SweepFolder folder;
  const auto run = [&](const std::string& results, const std::string& repetitions) {
    return folder.run(results, {"targets=[3]", "batch_sizes=[1]", "strategies=[full, unified]",
                                "timing.repetitions=" + repetitions});
  };
  ASSERT_EQ(run("one.db", "1"), SweepOutcome::kDone);
  ASSERT_EQ(run("two.db", "2"), SweepOutcome::kDone);
  for (const Json& row : folder.rows("one.db")) EXPECT_TRUE(row.at("decode_spread").is_null());
  for (const Json& row : folder.rows("two.db")) EXPECT_GE(row.at("decode_spread").get<double>(), 0);
  ResultStore store(folder.path("one.db"), OpenMode::kReadOnly);
  const ResultTable table = load_result_table(store);
  EXPECT_EQ(render_table(table, "csv", {.columns = {"strategy", "decode_spread"}}),
            "strategy,decode_spread\nfull,\nunified,\n");
  const std::string shown = render_table(table, "md", {.columns = {"strategy", "decode_spread"}});
  EXPECT_EQ(shown.find("0.0%"), std::string::npos) << shown;
}

TEST_F(CellTimes, ExitTestsAreAShareOfDecoding) {
  for (const TableRow& row : table().rows) {
    if (row.strategy == "early_exit") {
      EXPECT_EQ(row.exit_test_share, 0.25) << row.target;
    } else {
      EXPECT_FALSE(row.exit_test_share) << row.strategy;
    }
  }
  EXPECT_NE(render_table(table(), "md").find(" 25.0% |"), std::string::npos);
  const std::string without = render_table(table(), "md", {.where = {"strategy=full,unified"}});
  EXPECT_EQ(without.find("exit tests"), std::string::npos) << without;
}

TEST_F(CellTimes, NaturalLengthIsOfTheScoredOutputs) {
  for (const Json& row : folder_->rows("a.db")) {
    EXPECT_EQ(row.at("natural_decode_tokens_per_second"), 30.0) << row;
    EXPECT_EQ(row.at("natural_batch"), 3.0) << row;  // the largest batch size
  }
  EXPECT_EQ(render_table(table(), "md").find("natural"), std::string::npos);  // on request
  const std::string asked =
      render_table(table(), "md", {.columns = {"strategy", "natural_decode_tokens_per_second"}});
  EXPECT_NE(asked.find("not in turns with `full`"), std::string::npos) << asked;
}

}  // namespace
}  // namespace skipbench
