// External metrics and the plain rates over texts.
#include "eval/metrics/external.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "eval/metrics/significance.h"
#include "tests/metrics/test_data.h"

namespace skipbench {
namespace {

const std::vector<std::string> kSources = {"ein Satz", "zwei"};
const std::vector<std::string> kHypotheses = {"a \"sentence\"", "two\xFF"};
const std::vector<std::vector<std::string>> kReferences = {{"a sentence"}, {"two", "a pair"}};

ExternalScores run(const std::string& command, double seconds = 30) {
  return run_external_metric({command, seconds}, kSources, kHypotheses, kReferences);
}

std::string error(const std::string& command, double seconds = 30) {
  try {
    run(command, seconds);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ExternalMetric, ReadsScoresPerSegment) {
  const ExternalScores external =
      run(R"(cat >/dev/null; echo '{"name": "COMET", "scores": [0.5, 1], "signature": "m-1"}')");
  const Score score = external.metric->scores(external.stats.sum())[0];
  EXPECT_EQ(score.name, "COMET");
  EXPECT_EQ(score.score, 0.75);
  EXPECT_EQ(external.stats.n_references, 0);  // one and two
  EXPECT_EQ(format_signature(external.metric->settings()), "external:COMET|by:m-1");
  EXPECT_EQ(bootstrap_intervals(*external.metric, external.stats, {.resamples = 100})[0].high, 1.0);
}

// The program answers with how many lines hold what it should have been sent.
TEST(ExternalMetric, SendsOneObjectPerSegment) {
  const ExternalScores external = run(
      R"(grep -c '"hypothesis":"a \\"sentence\\"","reference":"a sentence","references":\["a sentence"\],"source":"ein Satz"' >/tmp/skipbench_external_$$
n=$(cat /tmp/skipbench_external_$$); rm /tmp/skipbench_external_$$
echo "{\"name\": \"lines\", \"scores\": [$n, $n]}")");
  EXPECT_EQ(external.stats.rows[0], 1.0);
}

TEST(ExternalMetric, FailsWithWhatTheProgramSaid) {
  EXPECT_TRUE(contains(error("echo no such model >&2; exit 7"), "got 7")) << error("exit 7");
  EXPECT_TRUE(contains(error("echo no such model >&2; exit 7"), "no such model"));
  EXPECT_TRUE(contains(error("sleep 60", 0.2), "within 0.2 s")) << error("sleep 60", 0.2);
  EXPECT_TRUE(contains(error("echo hello"), "'hello")) << error("echo hello");
  EXPECT_TRUE(contains(error("true"), "wrong form"));
  EXPECT_TRUE(contains(error(R"(echo '{"name": "x", "scores": [1]}')"), "expected 2, got 1"));
  EXPECT_TRUE(contains(error(R"(echo '{"name": "x", "scores": [1, null]}')"), "score 1 is not"));
  EXPECT_TRUE(contains(error(R"(echo '{"name": 3, "scores": [1, 2]}')"), "wrong form"));
  for (const char* field : {R"("signature": 5)", R"("higher_is_better": "no")",
                            R"("higher_is_better": 0)", R"("signature": "a|b")"}) {
    const std::string command =
        std::string("echo '{\"name\": \"x\", \"scores\": [1, 2], ") + field + "}'";
    EXPECT_TRUE(contains(error(command), "external metric: \"")) << error(command);
  }
  for (const char* name : {"a`b", "  ", "", "\\u009b1m", "\\u202eCBA", "a\\nb"}) {
    const std::string command =
        std::string("printf '%s' '{\"name\": \"") + name + "\", \"scores\": [1, 2]}'";
    EXPECT_TRUE(contains(error(command), "cannot stand in a table")) << error(command);
  }
  EXPECT_TRUE(contains(error(R"(echo '{"name": "x", "scores": [1e308, 1e308]}')"), "finite sum"));
  EXPECT_THROW(run_external_metric({"true"}, {}, kHypotheses, {}), Error);
}

double score_of(const std::string& name, const MetricOptions& options, const std::string& text,
                const std::string& reference) {
  const std::vector<std::string> hypotheses = {text};
  const std::vector<std::vector<std::string>> references = {{reference}};
  return corpus_scores(*make_metric(name, options), hypotheses, references)[0].score;
}

TEST(TextRates, Repetition) {
  EXPECT_EQ(score_of("repetition", {}, "a b c d e f g", "x"), 0.0);
  // a b c d twice: of 5 four-grams one is a repetition.
  EXPECT_EQ(score_of("repetition", {}, "a b c d a b c d", "x"), 20.0);
  EXPECT_EQ(score_of("repetition", {{"order", "1"}, {"unit", "char"}}, "ééé", "x"),
            100 * 2.0 / 3.0);
  EXPECT_EQ(score_of("repetition", {}, "", "x"), 0.0);
  EXPECT_THROW(make_metric("repetition", {{"unit", "line"}}), Error);
}

TEST(TextRates, LengthRatioAndDifference) {
  EXPECT_EQ(score_of("length_ratio", {}, "größe", "abcdefghij"), 50.0);
  EXPECT_EQ(score_of("length_ratio", {{"unit", "word"}}, "a b c", "a b"), 150.0);
  EXPECT_EQ(score_of("length_ratio", {}, "a", ""), 0.0);
  EXPECT_EQ(score_of("difference", {}, "a b", "a b"), 0.0);
  EXPECT_EQ(score_of("difference", {}, "a b", "a b "), 100.0);
}

}  // namespace
}  // namespace skipbench
