// Intervals of speedups: Student's quantiles, an example worked out by other means, how often the
// interval holds the true ratio, and which rows of a table have one.
#include "eval/report/speed_interval.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "engine/base/error.h"
#include "eval/report/render.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;
using Speed = std::vector<double>;

// R's qt(0.975, degrees).
TEST(SpeedInterval, StudentsQuantiles) {
  const std::vector<std::pair<int64_t, double>> known = {
      {1, 12.70620474}, {2, 4.30265273},  {3, 3.18244631},   {4, 2.77644511},   {5, 2.57058184},
      {9, 2.26215716},  {29, 2.04522964}, {100, 1.98397152}, {1000, 1.96233908}};
  for (const auto& [degrees, want] : known) {
    EXPECT_NEAR(two_sided_t(0.95, degrees), want, 1e-8 * want) << degrees;
  }
  EXPECT_NEAR(two_sided_t(0, 4), 0, 1e-12);
  EXPECT_NEAR(two_sided_t(0.5, 1), 1, 1e-12);  // Cauchy's quartile
}

// The density integrated by Simpson's rule, which shares nothing with the series.
TEST(SpeedInterval, QuantilesHoldTheirShare) {
  for (const int64_t degrees : {1, 2, 3, 6, 7, 20}) {
    const auto n = static_cast<double>(degrees);
    const double scale =
        std::exp(std::lgamma((n + 1) / 2) - std::lgamma(n / 2)) / std::sqrt(n * std::acos(-1.0));
    const auto density = [&](double x) { return scale * std::pow(1 + x * x / n, -(n + 1) / 2); };
    for (const double share : {0.5, 0.9, 0.99}) {
      const double t = two_sided_t(share, degrees);
      constexpr int kSteps = 20000;
      double sum = density(0) + density(t);
      for (int i = 1; i < kSteps; ++i) sum += density(t * i / kSteps) * (i % 2 == 1 ? 4 : 2);
      EXPECT_NEAR(2 * sum * t / kSteps / 3, share, 1e-7) << degrees << ' ' << share;
    }
  }
}

// Ratios 2, 4 and 8: logarithms log 2 times 1, 2, 3, of mean 2 and standard deviation 1.
TEST(SpeedInterval, ByHand) {
  const auto found = ratio_interval(Speed{200, 100, 80}, Speed{100, 25, 10});
  ASSERT_TRUE(found);
  EXPECT_NEAR(found->mean, 4, 1e-12);
  const double width = 4.30265273 / std::sqrt(3.0);
  EXPECT_NEAR(found->low, std::pow(2, 2 - width), 1e-8);
  EXPECT_NEAR(found->high, std::pow(2, 2 + width), 1e-7);
}

TEST(SpeedInterval, TakesPairs) {
  // The machine is twice as slow in the second repetition: the ratio is as sure as before.
  const auto steady = ratio_interval(Speed{150, 75, 150}, Speed{100, 50, 100});
  EXPECT_NEAR(steady->low, 1.5, 1e-12);
  EXPECT_NEAR(steady->high, 1.5, 1e-12);
  // The inverse has the inverse ends.
  const Speed a = {150, 140, 160, 155}, b = {100, 101, 98, 104};
  EXPECT_NEAR(ratio_interval(a, b)->low * ratio_interval(b, a)->high, 1, 1e-12);
}

TEST(SpeedInterval, NeedsThreeRepetitions) {
  EXPECT_FALSE(ratio_interval(Speed{}, Speed{}));
  EXPECT_FALSE(ratio_interval(Speed{2, 2.1}, Speed{1, 1}));
  EXPECT_TRUE(ratio_interval(Speed{2, 2.1, 2}, Speed{1, 1, 1}));
  EXPECT_EQ(message_of([] {
              ratio_interval(Speed{1, 2, 3}, Speed{1, 2});
            }),
            "speeds of different numbers of repetitions; expected 2, got 3");
  for (const double wrong : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW(ratio_interval(Speed{1, wrong, 1}, Speed{1, 1, 1}), Error) << wrong;
    EXPECT_THROW(ratio_interval(Speed{1, 1, 1}, Speed{wrong, 1, 1}), Error) << wrong;
  }
}

// Numbers in [0, 1) that are the same with every standard library.
class Draws {
 public:
  double uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
  double normal() {
    return std::sqrt(-2 * std::log(1 - uniform())) * std::cos(2 * std::acos(-1.0) * uniform());
  }
  double exponential() { return -std::log(1 - uniform()); }

 private:
  std::mt19937_64 random_{20261201};
};

struct Coverage {
  double interval = 0, bootstrap = 0;  // share of the intervals that hold the true ratio
};

using Noise = std::function<double()>;  // what a speed's logarithm is off by, 0 on average

// The machine's drift is shared, what it does to one of the two alone is not.
Coverage coverage(int repetitions, Draws& draws, const Noise& of_fast, const Noise& of_slow) {
  constexpr int kTrials = 20000;
  constexpr double kTrue = 1.6;
  Coverage found;
  for (int trial = 0; trial < kTrials; ++trial) {
    Speed fast, slow, ratios;
    for (int r = 0; r < repetitions; ++r) {
      const double drift = 100 * std::exp(0.2 * draws.normal());
      slow.push_back(drift * std::exp(of_slow()));
      fast.push_back(drift * kTrue * std::exp(of_fast()));
      ratios.push_back(fast.back() / slow.back());
    }
    const auto interval = ratio_interval(fast, slow);
    found.interval += interval->low <= kTrue && kTrue <= interval->high ? 1.0 / kTrials : 0;
    // The widest that a percentile bootstrap of the ratios can be.
    const auto [least, most] = std::ranges::minmax(ratios);
    found.bootstrap += least <= kTrue && kTrue <= most ? 1.0 / kTrials : 0;
  }
  return found;
}

TEST(SpeedInterval, CoversTheTrueRatio) {
  Draws draws;
  const Noise normal = [&] { return 0.03 * draws.normal(); };
  // Slowdowns alone, often small and sometimes large.
  const Noise skewed = [&] { return 0.03 * (1 - draws.exponential()); };
  // One measurement in twenty is slowed down by a fifth.
  const Noise disturbed = [&] {
    return 0.01 * draws.normal() + (draws.uniform() < 0.05 ? -0.19 : 0.01);
  };
  for (const int repetitions : {3, 5, 10}) {
    SCOPED_TRACE(repetitions);
    // Five standard errors of a share of 20,000 trials are 0.8 %.
    const Coverage usual = coverage(repetitions, draws, normal, normal);
    EXPECT_NEAR(usual.interval, 0.95, 0.008);
    if (repetitions == 3) {
      EXPECT_NEAR(usual.bootstrap, 0.75, 0.016);
    }
    EXPECT_GT(coverage(repetitions, draws, skewed, skewed).interval, 0.94);
    EXPECT_GT(coverage(repetitions, draws, disturbed, disturbed).interval, 0.94);
    // What hits one of the two alone makes the ratios skewed: there it covers less.
    const double one_sided = coverage(repetitions, draws, skewed, [] { return 0.0; }).interval;
    EXPECT_GT(one_sided, 0.87);
    EXPECT_LT(one_sided, 0.91);
    // Rare and large ones most: few repetitions meet one, and their spread shows nothing of it.
    const double rare = coverage(repetitions, draws, disturbed, [] { return 0.0; }).interval;
    EXPECT_NEAR(rare, repetitions == 3 ? 0.85 : repetitions == 5 ? 0.68 : 0.52, 0.02);
  }
}

class TimedRows : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new SweepFolder();
    ASSERT_EQ(folder_->run("a.db", {"timing.repetitions=3", "batch_sizes=[1]", "targets=[3]",
                                    "strategies=[full, unified, {name: random, seeds: 2}]"}),
              SweepOutcome::kDone);
    // Of repetitions 0, 1 and 2: full decodes 100 tokens in 1, 2 and 4 s, the others in a half, a
    // quarter and an eighth of that.
    Database(folder_->path("a.db"), OpenMode::kReadWrite)
        .execute(
            "UPDATE samples SET decode_tokens = 100, decode_us = 1e6 * (1 << repetition),"
            " prefill_us = 0, prompt_tokens = 0, rows = 0 WHERE group_id != 0;"
            "UPDATE samples SET decode_us = decode_us / (2 << repetition) WHERE group_id != 0"
            " AND cell_id NOT IN (SELECT cell_id FROM run_cells WHERE strategy = 'full')");
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string shown(const std::string& format, const std::string& strategy,
                           const std::vector<std::string>& columns) {
    ResultStore store(folder_->path("a.db"), OpenMode::kReadOnly);
    return render_table(load_result_table(store), format,
                        {.columns = columns, .where = {"strategy=" + strategy}});
  }

  static SweepFolder* folder_;
};
SweepFolder* TimedRows::folder_ = nullptr;

TEST_F(TimedRows, HaveTheIntervalOfTheirPairs) {
  int with = 0;
  for (const Json& row : folder_->rows("a.db")) {
    const bool single = row.at("strategy") == "unified";
    for (const std::string what : {"speedup", "total_speedup"}) {
      const Json &low = row.at(what + "_low"), &high = row.at(what + "_high");
      EXPECT_EQ(low.is_null(), !single) << row;  // full against itself, a mean over seeds
      EXPECT_EQ(high.is_null(), !single) << row;
      const std::string paired = what == "speedup" ? "paired_speedup" : "paired_total_speedup";
      EXPECT_EQ(row.at(paired).is_null(), !single) << row;
      if (!single) continue;
      EXPECT_NEAR(row.at(paired).get<double>(), 4, 1e-12);
      const double width = 4.30265273 / std::sqrt(3.0);
      EXPECT_NEAR(low.get<double>(), std::pow(2, 2 - width), 1e-8);
      EXPECT_NEAR(high.get<double>(), std::pow(2, 2 + width), 1e-7);
      ++with;
    }
  }
  EXPECT_EQ(with, 2);
}

TEST_F(TimedRows, ShowThemOnRequest) {
  EXPECT_EQ(shown("md", "unified", {}).find("speedup low"), std::string::npos);
  const std::string asked = shown("md", "unified", {"strategy", "speedup_low", "speedup_high"});
  EXPECT_NE(asked.find(" 0.71 "), std::string::npos) << asked;   // 2^(2 - 2.484)
  EXPECT_NE(asked.find(" 22.38 "), std::string::npos) << asked;  // 2^(2 + 2.484)
  EXPECT_NE(asked.find("- speedup low: low end of the 95 % interval of paired"), std::string::npos)
      << asked;
  EXPECT_EQ(shown("csv", "full", {"strategy", "speedup_low", "total_speedup_high"}),
            "strategy,speedup_low,total_speedup_high\nfull,,\n");
}

TEST(TimedRowsOfTwo, HaveNone) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"timing.repetitions=2", "batch_sizes=[1]", "targets=[3]",
                                "strategies=[full, unified]"}),
            SweepOutcome::kDone);
  for (const Json& row : folder.rows("a.db")) {
    EXPECT_FALSE(row.at("speedup").is_null());
    EXPECT_TRUE(row.at("speedup_low").is_null()) << row;
    EXPECT_TRUE(row.at("total_speedup_high").is_null()) << row;
  }
}

}  // namespace
}  // namespace skipbench
