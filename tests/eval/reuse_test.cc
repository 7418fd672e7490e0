// Results of one build of the program in the hands of another.
#include <gtest/gtest.h>

#include <sstream>

#include "engine/base/error.h"
#include "eval/report/render.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

// The sweep as a program would run it that was built from commit `commit`; "" is a file from before
// builds were part of a quality cell's identity.
SweepSetup built_from(const SweepFolder& folder, const std::string& commit,
                      const std::vector<std::string>& overrides = {}) {
  std::vector<std::string> all = {"results=" + folder.path("a.db")};
  all.insert(all.end(), overrides.begin(), overrides.end());
  SweepSetup setup = folder.setup(all);
  setup.context.provenance.commit = commit;
  setup.context.quality_build->commit = commit;
  if (commit.empty()) setup.context.quality_build.reset();
  setup.cells = make_cells(setup.config, setup.inputs, setup.context);
  return setup;
}

int64_t done_cells(const SweepFolder& folder, const std::string& kind) {
  return count_in(folder.path("a.db"),
                  "SELECT count(*) FROM cells WHERE status = 'done' AND kind = '" + kind + "'");
}

std::string table_of(const SweepFolder& folder) {
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  return render_table(load_result_table(store), "md");
}

TEST(Reuse, AnotherBuildDecodesAgainAndSaysHowNotTo) {
  const SweepFolder folder;
  ASSERT_EQ(run_sweep(built_from(folder, "old"), {}), SweepOutcome::kDone);
  const int64_t quality = done_cells(folder, "quality"), timing = done_cells(folder, "timing");
  std::ostringstream log;
  ASSERT_EQ(run_sweep(built_from(folder, "new"), {.log = &log}), SweepOutcome::kDone);
  EXPECT_NE(log.str().find("--reuse-quality"), std::string::npos) << log.str();
  EXPECT_EQ(done_cells(folder, "quality"), 2 * quality);
  EXPECT_EQ(done_cells(folder, "timing"), 2 * timing);
  EXPECT_EQ(table_of(folder).find("another build"), std::string::npos);
}

class ReuseFrom : public testing::TestWithParam<std::string> {};

TEST_P(ReuseFrom, QualityAndCalibrationAreTakenOverTimingsAreNot) {
  const SweepFolder folder;
  ASSERT_EQ(run_sweep(built_from(folder, GetParam()), {}), SweepOutcome::kDone);
  const int64_t quality = done_cells(folder, "quality"), timing = done_cells(folder, "timing");
  const int64_t calibrations = count_in(folder.path("a.db"), "SELECT count(*) FROM calibrations");
  ASSERT_GT(calibrations, 0);
  const SweepOptions reuse{.reuse_quality = true};
  ASSERT_EQ(run_sweep(built_from(folder, "new"), reuse), SweepOutcome::kDone);
  EXPECT_EQ(done_cells(folder, "quality"), quality);
  EXPECT_EQ(done_cells(folder, "timing"), 2 * timing);
  EXPECT_EQ(count_in(folder.path("a.db"), "SELECT count(*) FROM calibrations"), calibrations);
  EXPECT_NE(table_of(folder).find("measured by another build"), std::string::npos);
  // All of it is done now, and nothing is left to take over.
  std::ostringstream log;
  ASSERT_EQ(run_sweep(built_from(folder, "new"), {.reuse_quality = true, .log = &log}),
            SweepOutcome::kDone);
  EXPECT_NE(log.str().find("all 15 cells are done"), std::string::npos) << log.str();
}

INSTANTIATE_TEST_SUITE_P(, ReuseFrom, testing::Values("old", ""), [](const auto& from) {
  return from.param.empty() ? std::string("unknown") : from.param;
});

TEST(Reuse, WhatAnotherBuildBeganIsNotGoneOnWith) {
  const SweepFolder folder;
  const SweepOptions stop{.after_batch = [] { throw Error({.what = "stopped", .where = "test"}); }};
  ASSERT_EQ(run_sweep(built_from(folder, "old", {"timing.repetitions=0"}), stop),
            SweepOutcome::kSomeFailed);
  ASSERT_GT(count_in(folder.path("a.db"), "SELECT count(*) FROM outputs"), 0);
  ASSERT_EQ(run_sweep(built_from(folder, "new", {"timing.repetitions=0"}), {.reuse_quality = true}),
            SweepOutcome::kDone);
  EXPECT_EQ(count_in(folder.path("a.db"),
                     "SELECT count(*) FROM cells WHERE status = 'done' AND run_id = 1"),
            0);
  EXPECT_EQ(table_of(folder).find("another build"), std::string::npos);
}

TEST(Reuse, TheLatestBuildIsPreferred) {
  const SweepFolder folder;
  const std::vector<std::string> untimed = {"timing.repetitions=0"};
  ASSERT_EQ(run_sweep(built_from(folder, "first", untimed), {}), SweepOutcome::kDone);
  ASSERT_EQ(run_sweep(built_from(folder, "second", untimed), {}), SweepOutcome::kDone);
  ASSERT_EQ(run_sweep(built_from(folder, "third", untimed), {.reuse_quality = true}),
            SweepOutcome::kDone);
  EXPECT_EQ(count_in(folder.path("a.db"),
                     "SELECT count(*) FROM run_cells r JOIN cells c ON c.id = r.cell_id"
                     " WHERE r.run_id = 3 AND c.run_id <> 2"),
            0);
}

// The texts are still the other build's when a metric is added to them.
TEST(Reuse, AnAddedMetricKeepsTheNote) {
  const SweepFolder folder;
  const std::vector<std::string> one = {"timing.repetitions=0", "datasets.de-en.metrics=[bleu]"},
                                 two = {"timing.repetitions=0",
                                        "datasets.de-en.metrics=[bleu, {bleu: {tokenize: char}}]"};
  ASSERT_EQ(run_sweep(built_from(folder, "old", one), {}), SweepOutcome::kDone);
  ASSERT_EQ(run_sweep(built_from(folder, "new", two), {.reuse_quality = true}),
            SweepOutcome::kDone);
  EXPECT_EQ(folder.rows("a.db")[0].at("scores").size(), 2u);
  EXPECT_NE(table_of(folder).find("measured by another build: old"), std::string::npos)
      << table_of(folder);
}

}  // namespace
}  // namespace skipbench
