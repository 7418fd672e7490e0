// Holm's correction against numbers worked out by hand, against its definition by rejections, and
// over the families of a table.
#include "eval/report/holm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/base/error.h"
#include "eval/report/comparison.h"
#include "eval/report/render.h"
#include "eval/report/report.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;
using Numbers = std::vector<double>;

void expect_numbers(const Numbers& got, const Numbers& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-15) << i;
}

// In the comments what R's definition of p.adjust(p, "holm") multiplies, with its running maximum.
TEST(Holm, ByHand) {
  expect_numbers(holm_adjusted(Numbers{0.01, 0.04, 0.03, 0.005}),
                 {0.03, 0.06, 0.06, 0.02});  // 4 x 0.005, 3 x 0.01, 2 x 0.03, 0.04 < 0.06
  expect_numbers(holm_adjusted(Numbers{0.02, 0.02, 0.02}),
                 {0.06, 0.06, 0.06});  // ties share the first
  expect_numbers(holm_adjusted(Numbers{0.001, 0.02, 0.02, 1}), {0.004, 0.06, 0.06, 1});
  expect_numbers(holm_adjusted(Numbers{0.6, 1, 0.9}), {1, 1, 1});  // none above 1
  expect_numbers(holm_adjusted(Numbers{0.03}), {0.03});            // one test: nothing to correct
  expect_numbers(holm_adjusted(Numbers{1}), {1});
  expect_numbers(holm_adjusted(Numbers{0, 0.5}), {0, 0.5});
  EXPECT_TRUE(holm_adjusted(Numbers{}).empty());
}

// Section 2 of the paper: reject in ascending order of p while p <= alpha / (m - i).
std::vector<bool> rejected(const Numbers& p, double alpha) {
  std::vector<size_t> order(p.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<bool> rejections(p.size());
  for (size_t i = 0; i < order.size(); ++i) {
    if (p[order[i]] > alpha / static_cast<double>(p.size() - i)) break;
    rejections[order[i]] = true;
  }
  return rejections;
}

TEST(Holm, RejectsWhatTheProcedureRejects) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 500; ++trial) {
    Numbers p(1 + random() % 30);
    // A grid, as of a randomisation test, so that ties come.
    for (double& one : p) one = std::pow(static_cast<double>(1 + random() % 200) / 200.0, 3);
    const Numbers adjusted = holm_adjusted(p);
    for (const double alpha : {0.0113, 0.0507, 0.2503}) {
      const std::vector<bool> want = rejected(p, alpha);
      for (size_t i = 0; i < p.size(); ++i) EXPECT_EQ(adjusted[i] <= alpha, want[i]) << trial;
    }
    for (size_t i = 0; i < p.size(); ++i) {
      EXPECT_GE(adjusted[i], p[i]);
      EXPECT_LE(adjusted[i], std::min(1.0, static_cast<double>(p.size()) * p[i]));  // Bonferroni's
      for (size_t j = 0; j < p.size(); ++j) {
        if (p[i] <= p[j]) {
          EXPECT_LE(adjusted[i], adjusted[j]);
        }
      }
    }
  }
}

TEST(Holm, RefusesWhatIsNoP) {
  EXPECT_EQ(message_of([] {
              holm_adjusted(Numbers{0.5, 1.5});
            }),
            "test 2: not a p-value; expected a number in [0, 1], got 1.5");
  EXPECT_THROW(holm_adjusted(Numbers{-0.1}), Error);
  EXPECT_THROW(holm_adjusted(Numbers{std::nan("")}), Error);
}

// Two data sets of a sweep with two batch sizes: a family is a score's tests on one of them.
class HolmTable : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new SweepFolder();
    ASSERT_EQ(folder_->run("a.db", {"timing.repetitions=1", "timing.new_tokens=2"}),
              SweepOutcome::kDone);
    // Texts of which some are the references: all kinds of p.
    Database(folder_->path("a.db"), OpenMode::kReadWrite)
        .execute(
            "UPDATE outputs SET text = reference ->> '$[0]' WHERE idx % 2 = 0 AND cell_id IN"
            " (SELECT cell_id FROM run_cells WHERE strategy = 'unified' AND target = 3)");
  }
  static void TearDownTestSuite() { delete folder_; }

  static ResultTable compared(bool shows_correction, const std::string& baseline = "full") {
    ResultStore store(folder_->path("a.db"), OpenMode::kReadOnly);
    ResultTable table = load_result_table(store);
    compare_strategies(store, table,
                       {.test = PairedTest::kRandomisation,
                        .baseline = baseline,
                        .shows_correction = shows_correction,
                        .settings = {.resamples = 20, .trials = 200}});
    return table;
  }

  static SweepFolder* folder_;
};
SweepFolder* HolmTable::folder_ = nullptr;

TEST_F(HolmTable, FamilyIsAScoresTestsEachCellOnce) {
  const ResultTable table = compared(false);
  ASSERT_EQ(table.rows.front().scores.size(), 5u);
  for (size_t score = 0; score < 5; ++score) {
    Numbers p;
    std::vector<const TableRow*> tested;
    for (const TableRow& row : table.rows) {
      EXPECT_EQ(row.scores[score].p_holm.has_value(), row.strategy != "full");
      if (row.batch == 1 && row.strategy != "full") {
        p.push_back(row.scores[score].p_value.value());
        tested.push_back(&row);
      }
    }
    ASSERT_EQ(p.size(), 4u);  // two strategies, two targets
    const Numbers want = holm_adjusted(p);
    for (size_t i = 0; i < tested.size(); ++i) {
      for (const TableRow& row : table.rows) {  // at both batch sizes
        if (row.quality_cell != tested[i]->quality_cell) continue;
        EXPECT_EQ(row.scores[score].p_holm, want[i]);
        EXPECT_EQ(row.scores[score].tests, 4);
      }
    }
  }
}

TEST_F(HolmTable, StandsInJsonAndCsvAndOnRequest) {
  const ResultTable table = compared(false);
  const Json json = Json::parse(render_table(table, "json"));
  EXPECT_EQ(json.at("correction"),
            "p Holm: p corrected (Holm 1979) for all tests of a score on a data set, every "
            "strategy's of the run, whatever rows are shown, once for all its batch sizes: 4 of "
            "BLEU, ROUGE-1, ROUGE-2, ROUGE-L, ROUGE-Lsum.");
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const Json& score = json.at("rows")[i].at("scores")[0];
    EXPECT_EQ(score.at("p_value_holm").is_null(), table.rows[i].strategy == "full");
    if (table.rows[i].strategy == "full") continue;
    EXPECT_EQ(score.at("p_value_holm"), table.rows[i].scores[0].p_holm.value());
    EXPECT_EQ(score.at("tests"), 4);
  }
  EXPECT_NE(render_table(table, "csv").find(",BLEU p,BLEU p Holm,BLEU low,"), std::string::npos);
  EXPECT_EQ(render_table(table, "md").find("p Holm"), std::string::npos);
  const std::string asked = render_table(table, "md", {.columns = {"strategy", "BLEU p Holm"}});
  EXPECT_NE(asked.find("- BLEU p Holm: p corrected (Holm 1979) for all tests"), std::string::npos)
      << asked;
}

TEST_F(HolmTable, IsShownWhereItWasAskedFor) {
  const ResultTable table = compared(true);
  ResultStore store(folder_->path("a.db"), OpenMode::kReadOnly);
  for (const std::string& text :
       {render_table(table, "md"), render_table(table, "latex"), html_report(store, table, {})}) {
    EXPECT_NE(text.find("BLEU p Holm"), std::string::npos) << text;
    EXPECT_NE(text.find("p Holm: p corrected (Holm 1979)"), std::string::npos) << text;
  }
  // Fewer rows shown are no smaller family.
  const std::string one = render_table(
      table, "csv", {.columns = {"BLEU p Holm"}, .where = {"strategy=unified", "batch=1"}});
  std::string want = "BLEU p Holm\n";
  for (const TableRow& row : table.rows) {
    if (row.strategy != "unified" || row.batch != 1) continue;
    want += fmt::format("{}\n", row.scores[0].p_holm.value());
  }
  EXPECT_EQ(one, want);
}

// Against a baseline with rows at both targets `full` is not tested and in no family.
TEST_F(HolmTable, CountsWhatIsTested) {
  const ResultTable table = compared(false, "unified");
  for (const TableRow& row : table.rows) {
    for (const TableScore& score : row.scores) {
      EXPECT_EQ(score.tests, row.strategy == "early_exit" ? 2 : 0) << row.strategy;
    }
  }
}

}  // namespace
}  // namespace skipbench
