// Runs that say nothing of the code: on a slowed card, at other clocks, under another driver.
#include "eval/regress/conditions.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace skipbench {
namespace {

// What a row of `bench` says of its card; empty, as rows of version 1: nothing.
struct Card {
  std::string reasons, clock, driver, uuid, processes, memory_clock;
};

std::string card_fields(const Card& card) {
  std::string fields;
  if (!card.reasons.empty()) fields += R"(,"clock_reasons":")" + card.reasons + "\"";
  if (!card.clock.empty()) fields += R"(,"sm_clock_mhz":)" + card.clock;
  if (!card.memory_clock.empty()) fields += R"(,"memory_clock_mhz":)" + card.memory_clock;
  if (!card.driver.empty()) fields += R"(,"driver_version":")" + card.driver + "\"";
  if (!card.uuid.empty()) fields += R"(,"gpu_uuid":")" + card.uuid + "\"";
  if (!card.processes.empty()) fields += R"(,"foreign_processes":)" + card.processes;
  return fields;
}

// The row as `regress run --keep` keeps it.
std::vector<BenchRun> runs_on(const Card& card, const std::string& label, int n, double speed) {
  std::string rows;
  for (int i = 0; i < n; ++i) {
    rows += fmt::format(
        R"({{"build_commit":"0123456789ab","cpu_info":"c","backends":"cuda","gpu_info":"g",)"
        R"("instruction_set":"sm_90","model_type":"m","model_size":5,"n_threads":1,)"
        R"("type_k":"f16","n_prompt":0,"n_gen":8,"n_depth":4,"strategy":"full","target":1,)"
        R"("batch":1,"test_time":"2026-12-01T10:00:{:02}Z","samples_ts":[{}],"label":"{}"{}}})",
        i, speed * (1 + 0.002 * (i % 3 - 1)), label, card_fields(card));
  }
  return read_bench_runs(rows, "planted");
}

std::vector<BenchRun> joined(std::vector<BenchRun> first, const std::vector<BenchRun>& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

// Of 12 runs a side, the candidate's a tenth slower.
SeriesVerdict verdict_between(const Card& before, const Card& after,
                              const RegressSettings& settings = {}) {
  const auto runs = joined(runs_on(before, "old", 12, 100), runs_on(after, "new", 12, 90));
  return judge_runs(runs, "old", "new", settings).series.at(0);
}

Verdict with_reasons(const std::string& reasons) {
  return verdict_between({.clock = "1755"}, {.reasons = reasons, .clock = "1755"})
      .comparison.verdict;
}

TEST(Conditions, ASlowedCardIsNotJudged) {
  for (const char* reasons :
       {"heat (slowdown by the driver)", "heat (slowdown by hardware)", "the power supply's brake",
        "a slowdown by hardware (heat, power or the power brake)",
        "its power limit; heat (slowdown by the driver)", "reason 0x200", "of a later version"}) {
    EXPECT_EQ(with_reasons(reasons), Verdict::kCannotJudge) << reasons;
  }
  for (const char* reasons :
       {"", "its power limit", "a setting of application clocks",
        "its power limit; sync boost with another card", "a setting of display clocks"}) {
    EXPECT_EQ(with_reasons(reasons), Verdict::kRegression) << reasons;
  }
}

TEST(Conditions, OneSlowedRunOfEitherSideIsNamed) {
  const Card good{.clock = "1755"};
  const Card hot{.reasons = "its power limit; heat (slowdown by the driver)", .clock = "1755"};
  const auto old = runs_on(good, "old", 12, 100), slow = runs_on(good, "new", 12, 90);
  for (const bool is_candidate : {false, true}) {
    const auto hot_run = runs_on(hot, is_candidate ? "new" : "old", 1, 95);
    const GateResult result = judge_runs(joined(joined(old, slow), hot_run), "old", "new", {});
    EXPECT_EQ(result.verdict, Verdict::kCannotJudge);
    EXPECT_TRUE(result.series[0].is_refused);
    EXPECT_EQ(result.series[0].comparison.why,
              fmt::format("measured on a slowed card: run 13 of 13 of the {} "
                          "(2026-12-01T10:00:00Z) was made while the driver lowered the clocks "
                          "for heat (slowdown by the driver); expected is no such reason: let the "
                          "card cool or find what slows it, then measure both sides again",
                          is_candidate ? "candidate" : "baseline"));
  }
  EXPECT_EQ(judge_runs(joined(old, slow), "old", "new", {}).verdict, Verdict::kRegression);
}

TEST(Conditions, OtherClocksAreNotJudged) {
  const auto at = [](const std::string& clock, const RegressSettings& settings = {}) {
    return verdict_between({.clock = "1500"}, {.clock = clock}, settings).comparison;
  };
  EXPECT_EQ(at("1500").verdict, Verdict::kRegression);
  EXPECT_EQ(at("1470").verdict, Verdict::kRegression) << "2 % are within";
  EXPECT_EQ(at("1530").verdict, Verdict::kRegression);
  EXPECT_EQ(at("1469.5").verdict, Verdict::kCannotJudge);
  EXPECT_EQ(at("1530.5").verdict, Verdict::kCannotJudge) << "faster clocks hide a slowdown";
  EXPECT_EQ(at("1410").why,
            "measured at different clocks: run 1 of 12 of the candidate (2026-12-01T10:00:00Z) "
            "was made at an SM clock of 1410 MHz, as were 12 of 24 runs; expected is within 2 % "
            "of 1500 MHz, the baseline's median: fix the card's clocks (nvidia-smi "
            "--lock-gpu-clocks), then measure both sides again");
  const std::string memory =
      verdict_between({.memory_clock = "2619"}, {.memory_clock = "1500"}).comparison.why;
  EXPECT_NE(memory.find("at a memory clock of 1500 MHz"), std::string::npos) << memory;
  // Who asks for smaller slowdowns needs closer clocks.
  EXPECT_EQ(at("1480", {.min_effect = 0.01}).verdict, Verdict::kCannotJudge);
  EXPECT_EQ(at("1490", {.min_effect = 0.01}).verdict, Verdict::kRegression);
}

TEST(Conditions, WhatRowsDoNotSayIsJudgedAsBefore) {
  EXPECT_EQ(verdict_between({}, {}).comparison.verdict, Verdict::kRegression);
  EXPECT_EQ(verdict_between({}, {.clock = "1410"}).comparison.verdict, Verdict::kRegression);
  EXPECT_EQ(verdict_between({.clock = "1755"}, {}).comparison.verdict, Verdict::kRegression);
  EXPECT_EQ(verdict_between({.clock = "null"}, {.clock = "null"}).comparison.verdict,
            Verdict::kRegression);
  EXPECT_TRUE(verdict_between({}, {.driver = "550.54.15"}).notes.empty());
  EXPECT_THROW(runs_on({.clock = "\"fast\""}, "old", 1, 100), Error);
}

TEST(Conditions, AnotherDriverOrCardIsNoted) {
  const SeriesVerdict other = verdict_between({.driver = "550.54.15", .uuid = "GPU-1"},
                                              {.driver = "570.10", .uuid = "GPU-2"});
  EXPECT_EQ(other.comparison.verdict, Verdict::kRegression);
  EXPECT_EQ(other.notes,
            (std::vector<std::string>{
                "the card's driver differs: 550.54.15 at the baseline, 570.10 at the "
                "candidate; a change of speed may come of that",
                "the card's UUID differs: GPU-1 at the baseline, GPU-2 at the candidate; a "
                "change of speed may come of that"}));
  const Card same{.driver = "550", .uuid = "GPU-1", .processes = "0"};
  EXPECT_TRUE(verdict_between(same, same).notes.empty());
}

TEST(Conditions, OtherProcessesAreNoted) {
  const SeriesVerdict shared = verdict_between({.processes = "0"}, {.processes = "2"});
  EXPECT_EQ(shared.comparison.verdict, Verdict::kRegression);
  EXPECT_EQ(shared.notes,
            std::vector<std::string>{"other processes computed on the card during 12 of 24 runs: "
                                     "their work may be in the times"});
}

TEST(Conditions, MeasuringInTurnsStopsWhereMoreRunsMendNothing) {
  int runs = 0;
  const auto measure_with = [&](const Card& candidate) {
    return [&runs, candidate](bool is_candidate) {
      ++runs;
      // So noisy that more runs are asked for.
      return runs_on(is_candidate ? candidate : Card{.clock = "1755"}, "", 1,
                     100 + 17 * (runs % 5));
    };
  };
  AbSettings settings;
  settings.pilot_runs = 3;
  settings.max_runs = 20;
  std::string said;
  const auto say = [&](const std::string& line) { said += line + "\n"; };
  EXPECT_EQ(compare_in_turns(measure_with({.clock = "1755"}), settings, say).verdict,
            Verdict::kCannotJudge);
  EXPECT_EQ(runs, 40);
  EXPECT_EQ(said.find("measuring stops"), std::string::npos) << said;
  runs = 0;
  const GateResult refused = compare_in_turns(measure_with({.clock = "1200"}), settings, say);
  EXPECT_EQ(refused.verdict, Verdict::kCannotJudge);
  EXPECT_EQ(runs, 6);
  EXPECT_NE(said.find("measuring stops"), std::string::npos) << said;
}

}  // namespace
}  // namespace skipbench
