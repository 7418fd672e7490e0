// The gate from rows of bench to a verdict, on simulated machines.
#include "eval/regress/gate.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "engine/base/error.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

std::string bench_row(double speed, const std::string& more = "", int threads = 2) {
  return fmt::format(
      R"({{"build_commit":"0123456789ab","cpu_info":"c","backends":"cpu","instruction_set":"avx2",)"
      R"("model_type":"llama 30L","model_size":5,"n_threads":{},"type_k":"f32","n_prompt":0,)"
      R"("n_gen":8,"n_depth":4,"strategy":"full","target":1.0,"batch":1,)"
      R"("samples_ts":[{},1,1e6]{}}})",
      threads, speed, more);
}

TEST(Gate, ReadsArraysAndHistories) {
  const auto array = read_bench_runs("[\n" + bench_row(7) + "," + bench_row(8) + "]", "x");
  ASSERT_EQ(array.size(), 2u);
  EXPECT_EQ(array[1].tokens_per_second, 8);  // the median of the repetitions
  const std::string lines = history_lines("[" + bench_row(7) + "]", "old", "x");
  const auto history = read_bench_runs(lines + "\n" + lines, "x");
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(history[0].label, "old");
  EXPECT_EQ(history[0].commit, "0123456789ab");
  EXPECT_EQ(history[0].series, array[0].series);
  for (const char* wrong : {"", "{", "[]", "{}", "[1]", "nonsense\n", "{\"samples_ts\":[]}"}) {
    EXPECT_THROW(read_bench_runs(wrong, "x"), Error) << wrong;
  }
  std::string incomplete = bench_row(7);
  incomplete.replace(incomplete.find("\"batch\""), 7, "\"botch\"");
  EXPECT_THROW(read_bench_runs("[" + incomplete + "]", "x"), Error);
}

// One GPU behind the CPU of another is another machine; rows from before there was the field are
// read as they were.
TEST(Gate, TheGpuIsPartOfTheMachine) {
  const auto on = [](const std::string& more) {
    return read_bench_runs(bench_row(7, more), "x")[0].machine;
  };
  EXPECT_EQ(on(""), "cpu, c, avx2, 2 threads");
  EXPECT_EQ(on(R"(,"gpu_info":"")"), on(""));
  EXPECT_EQ(on(R"(,"gpu_info":null)"), on(""));
  EXPECT_EQ(on(R"(,"gpu_info":"NVIDIA H100","schema_version":1)"),
            "cpu, NVIDIA H100, c, avx2, 2 threads");
  EXPECT_NE(on(R"(,"gpu_info":"NVIDIA H100")"), on(R"(,"gpu_info":"NVIDIA H200")"));
  EXPECT_THROW(on(R"(,"schema_version":99)"), Error);
}

// As `export --to llama-bench` writes what a results file does not know.
TEST(Gate, RowsOfASweepAreSeriesOfTheirOwn) {
  const auto series_of = [](const std::string& more) {
    std::string row = bench_row(7, more);
    row.replace(row.find("\"llama 30L\""), 11, "\"\"");
    row.replace(row.find("\"model_size\":5"), 14, "\"model_size\":null");
    return read_bench_runs(row, "x")[0].series;
  };
  const std::string one = series_of(R"(,"model_filename":"a","dataset":"d")");
  EXPECT_NE(one, series_of(R"(,"model_filename":"b","dataset":"d")"));
  EXPECT_NE(one, series_of(R"(,"model_filename":"a","dataset":"e")"));
  EXPECT_NE(one, series_of(R"(,"model_filename":"a","dataset":"d","variant":"dtype=f16")"));
  EXPECT_EQ(one.find("model_size"), std::string::npos) << one;
}

TEST(Gate, ReadsOutputsOneAfterTheOther) {
  const std::string list = "[" + bench_row(7) + ",\n" + bench_row(8) + "]\n";
  EXPECT_EQ(read_bench_runs(list + list + bench_row(9) + "\n" + bench_row(9), "x").size(), 6u);
  try {
    read_bench_runs(list + bench_row(9) + "\n{\"a\": \n", "runs");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("runs:4: not a row"), 0u) << error.what();
  }
}

std::vector<BenchRun> steady(const std::string& label, int n, double speed,
                             const std::string& machine = "m") {
  std::vector<BenchRun> runs;
  for (int i = 0; i < n; ++i) {
    runs.push_back({"s", label, "", machine, speed * (1 + 0.002 * (i % 3 - 1))});
  }
  return runs;
}

Verdict verdict_of(std::vector<BenchRun> before, const std::vector<BenchRun>& after) {
  before.insert(before.end(), after.begin(), after.end());
  return judge_runs(before, "a", "b", {}).verdict;
}

TEST(Gate, Verdicts) {
  EXPECT_EQ(verdict_of(steady("a", 12, 100), steady("b", 12, 90)), Verdict::kRegression);
  EXPECT_EQ(verdict_of(steady("a", 12, 100), steady("b", 12, 110)), Verdict::kNoRegression);
  EXPECT_EQ(verdict_of(steady("a", 12, 100), steady("b", 2, 100)), Verdict::kCannotJudge);
  EXPECT_EQ(verdict_of(steady("a", 12, 100), steady("b", 12, 90, "other")), Verdict::kCannotJudge);
  auto throttled = steady("a", 12, 100);
  for (size_t i = 6; i < throttled.size(); ++i) throttled[i].tokens_per_second *= 0.7;
  EXPECT_EQ(verdict_of(throttled, steady("b", 12, 70)), Verdict::kCannotJudge);
  EXPECT_THROW(judge_runs(steady("a", 3, 1), "a", "b", {}), Error);
}

struct Simulated {
  int regressions = 0, passes = 0, most_runs = 0;
};

constexpr int kHistories = kSanitized ? 80 : 400;

// So many comparisons of builds of which the candidate's speed is `ratio` of the baseline's.
Simulated simulate(double ratio, double noise, uint32_t seed) {
  std::mt19937 random(seed);
  Simulated counts;
  for (int history = 0; history < kHistories; ++history) {
    int runs = 0;
    const auto measure = [&](bool is_candidate) {
      ++runs;
      std::normal_distribution<double> speed(is_candidate ? 100 * ratio : 100, 100 * noise);
      return std::vector<BenchRun>{{"s", "", "", "m", std::max(1.0, speed(random))}};
    };
    AbSettings settings;
    settings.max_runs = 200;
    const Verdict verdict = compare_in_turns(measure, settings, [](const std::string&) {}).verdict;
    counts.regressions += verdict == Verdict::kRegression ? 1 : 0;
    counts.passes += verdict == Verdict::kNoRegression ? 1 : 0;
    counts.most_runs = std::max(counts.most_runs, runs);
  }
  return counts;
}

TEST(Gate, FindsAFivePercentSlowdownAtThreePercentNoise) {
  const Simulated slower = simulate(0.95, 0.03, 11);
  EXPECT_GE(slower.regressions, 0.95 * kHistories);
  const Simulated same = simulate(1, 0.03, 12);
  EXPECT_LE(same.regressions, 0.02 * kHistories);
  EXPECT_GE(same.passes, 0.9 * kHistories);
}

TEST(Gate, TakesTurnsAndStopsAtTheLimit) {
  std::string order;
  std::mt19937 random(1);
  const auto measure = [&](bool is_candidate) {
    order += is_candidate ? 'b' : 'a';
    std::normal_distribution<double> speed(100, 20);
    return std::vector<BenchRun>{{"s", "", "", "m", std::max(1.0, speed(random))}};
  };
  AbSettings settings;
  settings.pilot_runs = 3;
  settings.max_runs = 6;
  std::string said;
  const GateResult result =
      compare_in_turns(measure, settings, [&](const std::string& line) { said += line + "\n"; });
  EXPECT_EQ(result.verdict, Verdict::kCannotJudge);
  EXPECT_EQ(order, "abbaabbaabba");
  EXPECT_GT(result.runs_needed, 6);
  EXPECT_NE(said.find(fmt::format("{}", result.runs_needed)), std::string::npos) << said;
}

}  // namespace
}  // namespace skipbench
