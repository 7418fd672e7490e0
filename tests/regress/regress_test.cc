// The statistics of the regression gate, on small cases counted by hand and on simulated histories.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "engine/base/error.h"
#include "eval/regress/change_points.h"
#include "eval/regress/compare.h"
#include "eval/regress/rank_test.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

using Values = std::vector<double>;

// All ways to choose which of the pooled values are b's: the definition, for small sizes.
void brute_force(const Values& a, const Values& b, double* p_less, double* p_greater) {
  Values pooled = a;
  pooled.insert(pooled.end(), b.begin(), b.end());
  const auto u_of = [&](unsigned chosen) {
    double u = 0;
    for (size_t i = 0; i < pooled.size(); ++i) {
      for (size_t j = 0; j < pooled.size(); ++j) {
        if ((chosen >> i & 1) == 0 || (chosen >> j & 1) != 0) continue;
        u += pooled[i] > pooled[j] ? 1 : pooled[i] == pooled[j] ? 0.5 : 0;
      }
    }
    return u;
  };
  const unsigned observed = ((1u << b.size()) - 1) << a.size();
  int all = 0, less = 0, greater = 0;
  for (unsigned chosen = 0; chosen < 1u << pooled.size(); ++chosen) {
    if (static_cast<size_t>(__builtin_popcount(chosen)) != b.size()) continue;
    ++all;
    less += u_of(chosen) <= u_of(observed);
    greater += u_of(chosen) >= u_of(observed);
  }
  *p_less = static_cast<double>(less) / all;
  *p_greater = static_cast<double>(greater) / all;
}

TEST(RankTest, EqualsCountingAllOrders) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 60; ++trial) {
    Values a(1 + random() % 5), b(1 + random() % 5);
    const unsigned distinct = trial % 2 == 0 ? 4 : 1000;  // with and without ties
    for (double& x : a) x = random() % distinct;
    for (double& x : b) x = random() % distinct;
    double p_less = 0, p_greater = 0;
    brute_force(a, b, &p_less, &p_greater);
    const RankTest test = mann_whitney(a, b);
    EXPECT_TRUE(test.exact);
    EXPECT_NEAR(test.p_less, p_less, 1e-12);
    EXPECT_NEAR(test.p_greater, p_greater, 1e-12);
  }
  EXPECT_THROW(mann_whitney(Values{}, Values{1}), Error);
}

TEST(RankTest, NormalApproximationMeetsTheExactOne) {
  std::mt19937 random(4);
  std::normal_distribution<double> noise;
  Values a(30), b(30);
  for (double& x : a) x = noise(random);
  for (double& x : b) x = noise(random) - 0.4;
  const RankTest exact = mann_whitney(a, b);
  a.push_back(median(a));  // one more value, hardly any more evidence
  const RankTest approximate = mann_whitney(a, b);
  EXPECT_TRUE(exact.exact);
  EXPECT_FALSE(approximate.exact);
  EXPECT_NEAR(approximate.p_less, exact.p_less, 0.1 * exact.p_less + 0.002);
  EXPECT_EQ(mann_whitney(Values(40, 1.0), Values(40, 1.0)).p_less, 1.0);
}

Values runs(std::mt19937* random, int n, double level, double noise) {
  std::normal_distribution<double> normal(level, level * noise);
  Values values(n);
  for (double& value : values) value = normal(*random);
  return values;
}

// What the gate promises, at its own number of runs.
TEST(Compare, FindsSlowdownsAndRaisesFewFalseAlarms) {
  const int n = runs_needed(0.03, {});
  std::mt19937 random(2026);
  int found = 0, alarms = 0;
  for (int history = 0; history < 100; ++history) {
    const Values baseline = runs(&random, n, 40, 0.03);
    found += compare_runs(baseline, runs(&random, n, 38, 0.03), {}).verdict == Verdict::kRegression;
    alarms +=
        compare_runs(baseline, runs(&random, n, 40, 0.03), {}).verdict == Verdict::kRegression;
  }
  EXPECT_GE(found, 95);
  EXPECT_LE(alarms, 2);
  // The rates behind it, from many more histories.
  found = alarms = 0;
  const int histories = kSanitized ? 400 : 4000;
  for (int history = 0; history < histories; ++history) {
    const Values baseline = runs(&random, n, 40, 0.03);
    found += compare_runs(baseline, runs(&random, n, 38, 0.03), {}).verdict == Verdict::kRegression;
    alarms +=
        compare_runs(baseline, runs(&random, n, 40, 0.03), {}).verdict == Verdict::kRegression;
  }
  EXPECT_GE(found, histories * 0.95);
  EXPECT_LE(alarms, histories * 0.01);
}

TEST(Compare, SaysHowManyRunsAreNeeded) {
  std::mt19937 random(1);
  const Comparison few = compare_runs(runs(&random, 4, 40, 0.03), runs(&random, 4, 40, 0.03), {});
  EXPECT_EQ(few.verdict, Verdict::kCannotJudge);
  EXPECT_NE(few.why.find("are needed"), std::string::npos) << few.why;
  EXPECT_GT(few.runs_needed, 4);
  // Faster is no regression, and no noise needs no more than the rank test's fewest.
  EXPECT_EQ(compare_runs(Values(5, 40.0), Values(5, 44.0), {}).verdict, Verdict::kNoRegression);
  EXPECT_EQ(compare_runs(Values(5, 40.0), Values(5, 36.0), {}).verdict, Verdict::kRegression);
  EXPECT_EQ(runs_needed(0, {}), 5);  // 1/C(8, 4) is above 1 %, 1/C(10, 5) below
  EXPECT_GT(runs_needed(0.06, {}), 3 * runs_needed(0.03, {}));
  // A slowdown that is certain but below the smallest that matters.
  EXPECT_EQ(compare_runs(Values(20, 100.0), Values(20, 98.0), {}).verdict, Verdict::kNoRegression);
  EXPECT_EQ(compare_runs(Values{}, Values{1}, {}).verdict, Verdict::kCannotJudge);
  EXPECT_THROW(compare_runs(Values{0.0}, Values{1}, {}), Error);
  EXPECT_THROW(runs_needed(0.03, {.min_effect = 0.05}), Error);
  EXPECT_THROW(runs_needed(0.03, {.alpha = 0}), Error);
}

TEST(Compare, NoiseIgnoresOneThrottledRun) {
  EXPECT_NEAR(relative_noise(Values{100, 101, 99, 100, 102, 98, 30}), 0.0148, 0.001);
  EXPECT_EQ(relative_noise(Values{5}), 0);
}

TEST(ChangePoints, FindsEveryStepAndLittleElse) {
  std::mt19937 random(9);
  Values history = runs(&random, 20, 40, 0.01);
  for (const double value : runs(&random, 15, 36, 0.01)) history.push_back(value);
  for (const double value : runs(&random, 15, 39, 0.01)) history.push_back(value);
  const auto found = find_change_points(history, {});
  const auto at = [&](size_t index) {
    return std::find_if(found.begin(), found.end(),
                        [&](const ChangePoint& point) { return point.index == index; });
  };
  ASSERT_NE(at(20), found.end());
  ASSERT_NE(at(35), found.end());
  EXPECT_NEAR(at(20)->before, 40, 0.5);
  EXPECT_NEAR(at(20)->after, 36, 0.5);
  EXPECT_NEAR(at(35)->after, 39, 0.5);
  EXPECT_LE(found.size(), 3u);  // each of the three segments may be split by chance, rarely
  EXPECT_EQ(find_change_points(history, {}).back().p_value, found.back().p_value);
  int false_points = 0;
  for (int i = 0; i < 30; ++i) {
    false_points += !find_change_points(runs(&random, 40, 40, 0.03), {.permutations = 199}).empty();
  }
  EXPECT_LE(false_points, 2);
  EXPECT_TRUE(find_change_points(Values{}, {}).empty());
  EXPECT_TRUE(find_change_points(Values(30, 7.0), {}).empty());
  EXPECT_TRUE(find_change_points(Values{1, 2, 3}, {}).empty());
}

}  // namespace
}  // namespace skipbench
