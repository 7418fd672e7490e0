// chrF and chrF++ against sacreBLEU 2.6.0: made-up segments (fixtures/chrf_ter.json) and, where
// ../shared is there, every system output of WMT22 that it has.
#include "eval/metrics/chrf.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "tests/metrics/test_data.h"
#include "tests/metrics/wmt22.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

ChrfSettings chrf_settings(const Json& args) {
  return {.char_order = args.value("char_order", 6),
          .word_order = args.value("word_order", 0),
          .beta = args.value("beta", 2),
          .lowercase = args.value("lowercase", false),
          .whitespace = args.value("whitespace", false),
          .eps_smoothing = args.value("eps_smoothing", false)};
}

TEST(Chrf, EqualsSacrebleuOnMadeUpText) {
  const Json fixtures =
      read_test_json(SKIPBENCH_SOURCE_DIR "/tests/metrics/fixtures/chrf_ter.json");
  for (const Json& entry : fixtures["chrf"]) {
    SCOPED_TRACE(entry["signature"].get<std::string>());
    const Json& corpus = fixtures["corpora"][entry["corpus"].get<size_t>()];
    const auto metric = make_chrf(chrf_settings(entry["settings"]));
    const SegmentStats stats =
        segment_statistics(*metric, corpus["hypotheses"].get<std::vector<std::string>>(),
                           by_segment(corpus["references"]));
    for (int64_t i = 0; i < stats.n_segments; ++i) {
      const auto row = stats.row(i);
      EXPECT_EQ(std::vector<double>(row.begin(), row.end()),
                entry["stats"][i].get<std::vector<double>>());
    }
    const Score score = metric->scores(stats.sum())[0];
    EXPECT_EQ(score.name, entry["name"].get<std::string>());
    EXPECT_NEAR(score.score, entry["score"].get<double>(), kScoreTolerance);
    EXPECT_EQ(as_sacrebleu(*metric, stats.n_references), entry["signature"].get<std::string>());
  }
}

class ChrfWmt22 : public Wmt22Test {
 protected:
  static void check(const Json& entry, const std::string& refs, const Json& want) {
    const std::string pair = entry["pair"], system = entry["system"];
    SCOPED_TRACE(pair + " " + system + " " + refs + " " + want["signature"].get<std::string>());
    // The signature leaves beta out; the name has it.
    ChrfSettings settings = chrf_settings(want.value("args", want));
    if (want["metric"] == "chrf++") settings.word_order = 2;
    const auto metric = make_chrf(settings);
    const SegmentStats stats =
        segment_statistics(*metric, lines(pair, "hyp." + system), references(pair, refs));
    const Score score = metric->scores(stats.sum())[0];
    EXPECT_NEAR(score.score, want["score"].get<double>(), kScoreTolerance);
    EXPECT_EQ(score.name, want["name"].get<std::string>());
    EXPECT_EQ(as_sacrebleu(*metric, stats.n_references), want["signature"].get<std::string>());
  }
};

TEST_F(ChrfWmt22, AllSystems) {
  const Json data = read_test_json(shared_data("scores/mt_systems_bleu_chrf.json.gz"));
  int compared = 0;
  for (const Json& entry : data["entries"]) {
    for (const Json& want : entry["scores"]) {
      if (!want["metric"].get<std::string>().starts_with("chrf")) continue;
      if (is_compared(compared++)) check(entry, want["refs"], want);
    }
  }
  EXPECT_GE(compared, 53 * 4);
}

TEST_F(ChrfWmt22, AllOptions) {
  const Json data = read_test_json(shared_data("scores/mt_options.json.gz"));
  int compared = 0;
  for (const Json& entry : data["entries"]) {
    for (const Json& want : entry["scores"]) {
      if (!want["metric"].get<std::string>().starts_with("chrf")) continue;
      if (is_compared(compared++)) check(entry, entry["refs"], want);
    }
  }
  EXPECT_GE(compared, 8 * 3);
}

TEST_F(ChrfWmt22, SingleSentences) {
  const Json data = read_test_json(shared_data("scores/mt_sentence.json.gz"));
  for (const Json& entry : data["entries"]) {
    const std::string pair = entry["pair"], system = entry["system"];
    const References one = references(pair, entry["refs"]), all = references(pair, "all");
    for (const Json& sentence : entry["sentences"]) {
      const size_t i = sentence["i"];
      for (const std::string name : {"chrf", "chrf++"}) {
        SCOPED_TRACE(pair + " " + std::to_string(i) + " " + name);
        const auto metric = make_metric(name, {});
        std::vector<double> stats(metric->n_stats());
        const std::string& hypothesis = lines(pair, "hyp." + system)[i];
        metric->segment_stats(hypothesis, one[i], stats);
        EXPECT_NEAR(metric->scores(stats)[0].score, sentence[name]["score"].get<double>(),
                    kScoreTolerance);
        metric->segment_stats(hypothesis, all[i], stats);
        EXPECT_NEAR(metric->scores(stats)[0].score, sentence["multi_ref"][name].get<double>(),
                    kScoreTolerance);
      }
    }
  }
}

TEST(Chrf, ReadsItsSettings) {
  const auto metric = make_metric(
      "chrf", {{"char_order", "3"}, {"word_order", "1"}, {"beta", "1"}, {"whitespace", "yes"}});
  EXPECT_EQ(metric->scores(std::vector<double>(12, 1.0))[0].name, "chrF1+");
  EXPECT_EQ(format_signature(metric->settings()), "case:mixed|eff:yes|nc:3|nw:1|space:yes");
  EXPECT_EQ(make_metric("chrf++", {})->scores(std::vector<double>(24, 1.0))[0].name, "chrF2++");
  EXPECT_THROW(make_metric("chrf", {{"char_order", "0"}}), Error);
  EXPECT_THROW(make_metric("chrf", {{"tokenize", "13a"}}), Error);
}

}  // namespace
}  // namespace skipbench
