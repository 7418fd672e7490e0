// Two results files point by point.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "eval/report/file_comparison.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

class CompareFiles : public testing::Test {
 protected:
  void run(const std::string& results, std::vector<std::string> overrides) const {
    overrides.emplace_back("batch_sizes=[1]");
    ASSERT_EQ(folder_.run(results, overrides), SweepOutcome::kDone);
  }

  FileComparison compare(const std::string& a, const std::string& b,
                         std::optional<PairedTest> test = PairedTest::kRandomisation) const {
    return compare_files(folder_.path(a), folder_.path(b), test, {.trials = 200});
  }

  SweepFolder folder_;
};

TEST_F(CompareFiles, AFileIsLikeItself) {
  run("a.db", {"datasets.de-en.metrics=[bleu, perplexity]"});
  const FileComparison comparison = compare("a.db", "a.db");
  ASSERT_EQ(comparison.points.size(), 5u);
  for (const PointPair& point : comparison.points) {
    EXPECT_TRUE(point.same_data);
    EXPECT_EQ(point.texts_differ, 0.0);
    ASSERT_EQ(point.scores.size(), 2u);
    for (const ScorePair& score : point.scores) {
      EXPECT_EQ(score.a, score.b);
      EXPECT_EQ(score.p_value, 1.0);
    }
  }
  EXPECT_TRUE(comparison.only_a.empty() && comparison.only_b.empty());
}

TEST_F(CompareFiles, WhatDiffersIsShownAndWhatIsMissingNamed) {
  run("a.db", {"targets=[1.5, 3]"});
  run("other.db", {"strategies=[full]", "datasets.de-en.name=xx", "timing.repetitions=0"});
  run("b.db", {"targets=[3, 2]", "decoding.max_new_tokens=4", "timing.repetitions=0"});
  run("c.db", {"targets=[1.5, 3]", "timing.repetitions=0"});
  EXPECT_NE(message_of([&] { compare("a.db", "other.db"); }).find("no point in common"),
            std::string::npos);
  // b.db has no speeds, so its rows no batch: their quality compares all the same.
  const FileComparison timed = compare("a.db", "b.db");
  ASSERT_EQ(timed.points.size(), 3u);
  EXPECT_EQ(timed.points[0].a.batch, 1);
  EXPECT_TRUE(timed.points[0].a.decode_per_second && !timed.points[0].b.decode_per_second);
  EXPECT_FALSE(timed.points[0].same_batch);
  EXPECT_EQ(timed.points[0].settings, std::vector<std::string>{"max_new_tokens"});
  EXPECT_NE(render_comparison(timed, "md").find("differ: "), std::string::npos);
  const FileComparison comparison = compare("c.db", "b.db");
  ASSERT_EQ(comparison.points.size(), 3u);  // full, and two strategies at 3
  EXPECT_EQ(comparison.only_a,
            (std::vector<std::string>{"unified 1.5x, de-en", "early_exit 1.5x, de-en"}));
  EXPECT_EQ(comparison.only_b,
            (std::vector<std::string>{"unified 2x, de-en", "early_exit 2x, de-en"}));
  const PointPair& full = comparison.points[0];
  EXPECT_EQ(full.a.strategy, "full");
  EXPECT_GT(full.texts_differ, 0.0);  // cut shorter
  ResultStore a(folder_.path("c.db"), OpenMode::kReadOnly),
      b(folder_.path("b.db"), OpenMode::kReadOnly);
  int64_t differ = 0;
  const auto before = a.outputs(full.a.quality_cell), after = b.outputs(full.b.quality_cell);
  for (size_t i = 0; i < before.size(); ++i) differ += before[i].text != after[i].text ? 1 : 0;
  EXPECT_EQ(*full.texts_differ, static_cast<double>(differ) / static_cast<double>(before.size()));
  const Json json = Json::parse(render_comparison(comparison, "json"));
  EXPECT_EQ(json.at("points").size(), 3u);
  EXPECT_EQ(json.at("only_in_b").size(), 2u);
  const std::string table = render_comparison(comparison, "md");
  EXPECT_NE(table.find("Only in B: unified 2x, de-en; early_exit 2x, de-en."), std::string::npos)
      << table;
  EXPECT_THROW(render_comparison(comparison, "latex"), Error);
}

TEST_F(CompareFiles, ScoresAreTheirSignatures) {
  const std::string two = "datasets.de-en.metrics=[bleu, {bleu: {tokenize: char}}]";
  run("a.db", {"timing.repetitions=0", two});
  run("b.db", {"timing.repetitions=0", "datasets.de-en.metrics=[{bleu: {tokenize: intl}}]"});
  EXPECT_NE(render_comparison(compare("a.db", "a.db"), "md").find("BLEU #2"), std::string::npos);
  const std::string none = render_comparison(compare("a.db", "b.db"), "md");
  EXPECT_NE(none.find("Without a score of the same signature in both files: full, unified"),
            std::string::npos)
      << none;
}

TEST_F(CompareFiles, OtherBatchSizesLeaveTheQuality) {
  run("a.db", {});
  ASSERT_EQ(folder_.run("b.db", {"batch_sizes=[3]"}), SweepOutcome::kDone);
  const FileComparison comparison = compare("a.db", "b.db");
  ASSERT_EQ(comparison.points.size(), 5u);
  EXPECT_EQ(comparison.points[0].texts_differ, 0.0);
  EXPECT_EQ(comparison.only_b.size(), 5u);  // their speeds
  const Json json = Json::parse(render_comparison(comparison, "json"));
  EXPECT_TRUE(json.at("points")[0].at("decode_tokens_per_second").at("b").is_null());
}

TEST_F(CompareFiles, OtherDataIsNotTested) {
  run("a.db", {"timing.repetitions=0"});
  folder_.write("test.en", "other\n" + std::string(11, '\n'));
  run("b.db", {"timing.repetitions=0"});
  const FileComparison comparison = compare("a.db", "b.db");
  ASSERT_EQ(comparison.points.size(), 5u);
  for (const PointPair& point : comparison.points) {
    EXPECT_FALSE(point.same_data);
    EXPECT_FALSE(point.texts_differ);
    for (const ScorePair& score : point.scores) EXPECT_FALSE(score.p_value);
  }
  EXPECT_NE(render_comparison(comparison, "md").find("nothing is tested"), std::string::npos);
}

TEST_F(CompareFiles, ThePIsThatOfTheTestOnTheTexts) {
  run("a.db", {"timing.repetitions=0", "datasets.de-en.metrics=[bleu]"});
  run("b.db",
      {"timing.repetitions=0", "datasets.de-en.metrics=[bleu]", "decoding.max_new_tokens=3"});
  const FileComparison comparison = compare("a.db", "b.db");
  const PointPair& full = comparison.points[0];
  const auto metric = make_sweep_metric("bleu", {}, "test");
  std::vector<SegmentStats> stats;
  for (const char* name : {"a.db", "b.db"}) {
    ResultStore store(folder_.path(name), OpenMode::kReadOnly);
    std::vector<std::string> texts;
    std::vector<std::vector<std::string>> references;
    for (const OutputRecord& output : store.outputs(full.a.quality_cell)) {
      texts.push_back(output.text);
      references.push_back(output.references);
    }
    stats.push_back(segment_statistics(*metric, texts, references));
  }
  const auto expected = compare_to_baseline(*metric, stats[0], std::span(stats).subspan(1),
                                            PairedTest::kRandomisation, {.trials = 200});
  EXPECT_EQ(full.scores[0].p_value, expected[1][0].p_value);
  EXPECT_EQ(full.scores[0].b, expected[1][0].score.score);
  EXPECT_FALSE(compare("a.db", "b.db", std::nullopt).points[0].scores[0].p_value);
}

}  // namespace
}  // namespace skipbench
