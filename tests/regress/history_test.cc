// Histories of runs: series and machines apart, changes at the commit where they happened.
#include "eval/regress/history.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

namespace skipbench {
namespace {

// Three runs a commit with 1 % noise; slower by `drop` from commit `at` on.
std::vector<BenchRun> runs_of(const std::string& series, const std::string& machine, int commits,
                              int at, double drop, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<> noise(0, 0.01);
  std::vector<BenchRun> runs;
  for (int commit = 0; commit < commits; ++commit) {
    for (int i = 0; i < 3; ++i) {
      const double speed = commit < at ? 100 : 100 * (1 - drop);
      runs.push_back({series, "", fmt::format("{:02d}{:038d}", commit, 0), machine,
                      speed * (1 + noise(random))});
    }
  }
  return runs;
}

TEST(History, FindsTheCommitThatChangedTheSpeed) {
  const auto runs = runs_of("tg64", "m", 12, 7, 0.08, 5);
  const auto histories = history_of(runs, {});
  ASSERT_EQ(histories.size(), 1u);
  ASSERT_EQ(histories[0].changes.size(), 1u);
  EXPECT_EQ(histories[0].changes[0].index, 21u);
  const std::string text = history_text(histories);
  EXPECT_NE(text.find("slower at 0700000000 (run 22; before it 0600000000)"), std::string::npos)
      << text;
}

TEST(History, SeriesAndMachinesAreKeptApart) {
  auto runs = runs_of("a", "fast", 5, 9, 0, 1);
  for (const auto& other :
       {runs_of("a", "slow", 5, 0, 0.5, 2), runs_of("b", "fast", 5, 0, 0.3, 3)}) {
    for (size_t i = 0; i < other.size(); ++i) runs.insert(runs.begin() + 2 * i, other[i]);
  }
  const auto histories = history_of(runs, {});
  ASSERT_EQ(histories.size(), 3u);
  for (const SeriesHistory& history : histories) {
    EXPECT_EQ(history.runs.size(), 15u);
    EXPECT_TRUE(history.changes.empty()) << history_text(histories);
  }
}

TEST(History, FewFalseAlarms) {
  int changes = 0;
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const auto histories = history_of(runs_of("a", "m", 10, 99, 0, seed), {});
    changes += static_cast<int>(histories[0].changes.size());
  }
  EXPECT_LE(changes, 3);  // at alpha 0.01
}

}  // namespace
}  // namespace skipbench
