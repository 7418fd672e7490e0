// TER against sacreBLEU 2.6.0: made-up segments (fixtures/chrf_ter.json) and, where ../shared is
// there, the system outputs of WMT22 that it has scores of.
#include "eval/metrics/ter.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "eval/metrics/ter_edits.h"
#include "tests/metrics/test_data.h"
#include "tests/metrics/wmt22.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

Json fixtures() {
  return read_test_json(SKIPBENCH_SOURCE_DIR "/tests/metrics/fixtures/chrf_ter.json");
}

TerSettings ter_settings(const Json& args) {
  return {.normalized = args.value("normalized", false),
          .no_punctuation = args.value("no_punct", false),
          .asian_support = args.value("asian_support", false),
          .case_sensitive = args.value("case_sensitive", false)};
}

TEST(Ter, EqualsSacrebleuOnMadeUpText) {
  const Json data = fixtures();
  for (const Json& entry : data["ter"]) {
    SCOPED_TRACE(entry["signature"].get<std::string>());
    const Json& corpus = data["corpora"][entry["corpus"].get<size_t>()];
    const auto metric = make_ter(ter_settings(entry["settings"]));
    const SegmentStats stats =
        segment_statistics(*metric, corpus["hypotheses"].get<std::vector<std::string>>(),
                           by_segment(corpus["references"]));
    for (int64_t i = 0; i < stats.n_segments; ++i) {
      const auto row = stats.row(i);
      EXPECT_EQ(std::vector<double>(row.begin(), row.end()),
                entry["stats"][i].get<std::vector<double>>())
          << "corpus " << entry["corpus"] << " segment " << i;
    }
    EXPECT_NEAR(metric->scores(stats.sum())[0].score, entry["score"].get<double>(),
                kScoreTolerance);
    EXPECT_EQ(as_sacrebleu(*metric, stats.n_references), entry["signature"].get<std::string>());
  }
}

TEST(Ter, TokensEqualTercoms) {
  const Json data = fixtures();
  for (const Json& entry : data["ter_tokens"]) {
    const std::string text = entry["text"];
    for (int mask = 0; mask < 16; ++mask) {
      TokenList list;
      tokenize_ter(text,
                   {.normalized = (mask & 1) != 0,
                    .no_punctuation = (mask & 2) != 0,
                    .asian_support = (mask & 4) != 0,
                    .case_sensitive = (mask & 8) != 0},
                   &list);
      EXPECT_EQ(std::vector<std::string>(list.tokens.begin(), list.tokens.end()),
                entry["tokens"][mask].get<std::vector<std::string>>())
          << Json(text).dump() << " mask " << mask;
    }
  }
}

class TerWmt22 : public Wmt22Test {};

TEST_F(TerWmt22, AllSystems) {
  const Json data = read_test_json(shared_data("scores/mt_systems_ter.json.gz"));
  const auto metric = make_ter(TerSettings{});
  int compared = 0;
  for (const Json& entry : data["entries"]) {
    const std::string pair = entry["pair"], system = entry["system"];
    for (const Json& want : entry["scores"]) {
      if (!is_compared(compared++)) continue;
      SCOPED_TRACE(pair + " " + system + " " + want["refs"].get<std::string>());
      const SegmentStats stats =
          segment_statistics(*metric, lines(pair, "hyp." + system), references(pair, want["refs"]));
      const std::vector<double> sums = stats.sum();
      EXPECT_EQ(sums[0], want["num_edits"].get<double>());
      EXPECT_EQ(sums[1], want["ref_length"].get<double>());
      EXPECT_NEAR(metric->scores(sums)[0].score, want["score"].get<double>(), kScoreTolerance);
    }
  }
  EXPECT_GE(compared, 20);
}

TEST_F(TerWmt22, AllOptions) {
  const Json data = read_test_json(shared_data("scores/mt_options.json.gz"));
  int compared = 0;
  for (const Json& entry : data["entries"]) {
    const std::string pair = entry["pair"], system = entry["system"];
    for (const Json& want : entry["scores"]) {
      if (want["metric"] != "ter" || !is_compared(compared++)) continue;
      const auto metric = make_ter(ter_settings(want["args"]));
      SCOPED_TRACE(pair + " " + system + " " + want["signature"].get<std::string>());
      const auto& all_lines = lines(pair, "hyp." + system);
      const References all_references = references(pair, entry["refs"]);
      const size_t n = want.value("first_lines", all_lines.size());
      const SegmentStats stats = segment_statistics(*metric, std::span(all_lines).first(n),
                                                    std::span(all_references).first(n));
      EXPECT_NEAR(metric->scores(stats.sum())[0].score, want["score"].get<double>(),
                  kScoreTolerance);
      EXPECT_EQ(as_sacrebleu(*metric, stats.n_references), want["signature"].get<std::string>());
    }
  }
  EXPECT_GE(compared, 40);
}

TEST_F(TerWmt22, SingleSentences) {
  const Json data = read_test_json(shared_data("scores/mt_sentence.json.gz"));
  const auto metric = make_ter(TerSettings{});
  for (const Json& entry : data["entries"]) {
    const std::string pair = entry["pair"], system = entry["system"];
    const References one = references(pair, entry["refs"]), all = references(pair, "all");
    for (const Json& sentence : entry["sentences"]) {
      if (!sentence.contains("ter")) continue;
      const size_t i = sentence["i"];
      SCOPED_TRACE(pair + " " + std::to_string(i));
      std::vector<double> stats(metric->n_stats());
      const std::string& hypothesis = lines(pair, "hyp." + system)[i];
      metric->segment_stats(hypothesis, one[i], stats);
      EXPECT_NEAR(metric->scores(stats)[0].score, sentence["ter"]["score"].get<double>(),
                  kScoreTolerance);
      metric->segment_stats(hypothesis, all[i], stats);
      EXPECT_NEAR(metric->scores(stats)[0].score, sentence["multi_ref"]["ter"].get<double>(),
                  kScoreTolerance);
    }
  }
}

TEST(Ter, CountsShiftsAsOneEdit) {
  TerEdits edits;
  const std::vector<uint32_t> a = {1, 2, 3, 4, 5, 6}, b = {4, 5, 6, 1, 2, 3}, none;
  EXPECT_EQ(edits.count(a, a), 0);
  EXPECT_EQ(edits.count(a, b), 1);
  EXPECT_EQ(edits.count(none, b), 6);
  EXPECT_EQ(edits.count(a, none), 6);
}

// The table of edits grows with the product of the lengths.
TEST(Ter, RefusesWhatWouldTakeGigabytes) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "w ";
  const auto metric = make_metric("ter", {});
  const std::vector<std::string> references = {text};
  double stats[2];
  try {
    metric->segment_stats(text, references, stats);
    FAIL();
  } catch (const Error& error) {
    EXPECT_TRUE(contains(error.what(), "20000 words")) << error.what();
  }
}

TEST(Ter, ReadsItsSettings) {
  const auto metric = make_metric("ter", {{"normalized", "true"}, {"no_punct", "true"}});
  EXPECT_FALSE(metric->higher_is_better());
  EXPECT_EQ(format_signature(metric->settings()), "case:lc|tok:tercom|norm:yes|punct:no|asian:no");
  EXPECT_THROW(make_metric("ter", {{"lowercase", "true"}}), Error);
}

}  // namespace
}  // namespace skipbench
