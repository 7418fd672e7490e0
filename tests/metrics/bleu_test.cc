// BLEU against sacreBLEU 2.6.0: made-up segments (fixtures/metrics.json) and, where ../shared is
// there, every system output of WMT22 that it has.
#include "eval/metrics/bleu.h"

#include <gtest/gtest.h>

#include <map>

#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "tests/metrics/test_data.h"
#include "tests/metrics/wmt22.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

// sacreBLEU's constructor arguments as our settings.
BleuSettings bleu_settings(const Json& args) {
  BleuSettings settings;
  settings.tokenizer = args.value("tokenize", "13a");
  settings.lowercase = args.value("lowercase", false);
  settings.effective_order = args.value("effective_order", false);
  settings.max_order = args.value("max_ngram_order", 4);
  const std::map<std::string, BleuSmoothing> names = {{"exp", BleuSmoothing::kExp},
                                                      {"floor", BleuSmoothing::kFloor},
                                                      {"add-k", BleuSmoothing::kAddK},
                                                      {"none", BleuSmoothing::kNone}};
  settings.smoothing = names.at(args.value("smooth_method", "exp"));
  if (args.contains("smooth_value") && !args["smooth_value"].is_null()) {
    settings.smooth_value = args["smooth_value"].get<double>();
  }
  return settings;
}

void expect_details(const BleuDetails& got, const Json& want) {
  EXPECT_NEAR(got.score, want["score"].get<double>(), kScoreTolerance);
  EXPECT_NEAR(got.brevity_penalty, want["bp"].get<double>(), kScoreTolerance);
  EXPECT_EQ(got.hypothesis_length, want["sys_len"].get<int64_t>());
  EXPECT_EQ(got.reference_length, want["ref_len"].get<int64_t>());
  EXPECT_EQ(got.counts, want["counts"].get<std::vector<double>>());
  EXPECT_EQ(got.totals, want["totals"].get<std::vector<double>>());
  for (size_t n = 0; n < got.precisions.size(); ++n) {
    EXPECT_NEAR(got.precisions[n], want["precisions"][n].get<double>(), kScoreTolerance);
  }
}

TEST(Bleu, EqualsSacrebleuOnMadeUpText) {
  for (const Json& entry : metric_fixtures()["bleu"]) {
    SCOPED_TRACE(entry["signature"].get<std::string>());
    const auto hypotheses = entry["hypotheses"].get<std::vector<std::string>>();
    const auto references = by_segment(entry["references"]);
    const BleuSettings settings = bleu_settings(entry["settings"]);
    const auto metric = make_bleu(settings);
    const SegmentStats stats = segment_statistics(*metric, hypotheses, references);
    for (int64_t i = 0; i < stats.n_segments; ++i) {
      const auto row = stats.row(i);
      EXPECT_EQ(std::vector<double>(row.begin(), row.end()),
                entry["stats"][i].get<std::vector<double>>());
    }
    const std::vector<Score> scores = corpus_scores(*metric, hypotheses, references);
    ASSERT_EQ(scores.size(), 1u);
    EXPECT_EQ(scores[0].name, "BLEU");
    EXPECT_NEAR(scores[0].score, entry["score"].get<double>(), kScoreTolerance);
    EXPECT_EQ(scores[0].verbose, entry["verbose"].get<std::string>());
    EXPECT_EQ(as_sacrebleu(*metric, stats.n_references), entry["signature"].get<std::string>());
    const BleuDetails details = bleu_from_stats(settings, stats.sum());
    EXPECT_NEAR(details.brevity_penalty, entry["bp"].get<double>(), kScoreTolerance);
    for (size_t n = 0; n < details.precisions.size(); ++n) {
      EXPECT_NEAR(details.precisions[n], entry["precisions"][n].get<double>(), kScoreTolerance);
    }
  }
}

class Wmt22 : public Wmt22Test {
 protected:
  static void check(const Json& entry, const std::string& refs, const BleuSettings& settings,
                    const Json& want) {
    const std::string pair = entry["pair"], system = entry["system"];
    SCOPED_TRACE(pair + " " + system + " " + want["signature"].get<std::string>());
    const auto metric = make_bleu(settings);
    const SegmentStats stats =
        segment_statistics(*metric, lines(pair, "hyp." + system), references(pair, refs));
    expect_details(bleu_from_stats(settings, stats.sum()), want);
    EXPECT_EQ(as_sacrebleu(*metric, stats.n_references), want["signature"].get<std::string>());
  }
};

TEST_F(Wmt22, AllSystems) {
  const Json data = read_test_json(shared_data("scores/mt_systems_bleu_chrf.json.gz"));
  int compared = 0;
  for (const Json& entry : data["entries"]) {
    for (const Json& want : entry["scores"]) {
      if (want["metric"] != "bleu") continue;
      BleuSettings settings;
      if (entry["pair"] == "en-zh") settings.tokenizer = "zh";
      if (is_compared(compared++)) check(entry, want["refs"], settings, want);
    }
  }
  EXPECT_EQ(compared, 53 * 3);
}

TEST_F(Wmt22, AllTokenizers) {
  const Json data = read_test_json(shared_data("scores/mt_tokenizers.json.gz"));
  int compared = 0;
  for (const Json& entry : data["entries"]) {
    for (const Json& want : entry["scores"]) {
      if (!is_compared(compared++)) continue;
      check(entry, entry["refs"], {.tokenizer = want["tok"], .lowercase = want["lc"]}, want);
    }
  }
  EXPECT_EQ(compared, 53 * 7);
}

TEST_F(Wmt22, AllOptions) {
  const Json data = read_test_json(shared_data("scores/mt_options.json.gz"));
  int compared = 0;
  for (const Json& entry : data["entries"]) {
    for (const Json& want : entry["scores"]) {
      if (want["metric"] != "bleu") continue;
      if (is_compared(compared++)) check(entry, entry["refs"], bleu_settings(want["args"]), want);
    }
  }
  EXPECT_GE(compared, 8 * 12);
}

TEST_F(Wmt22, SingleSentences) {
  const Json data = read_test_json(shared_data("scores/mt_sentence.json.gz"));
  for (const Json& entry : data["entries"]) {
    const std::string pair = entry["pair"], system = entry["system"];
    const BleuSettings settings{.tokenizer = pair == "en-zh" ? "zh" : "13a",
                                .effective_order = true};
    const auto metric = make_bleu(settings);
    const References one = references(pair, entry["refs"]), all = references(pair, "all");
    for (const Json& sentence : entry["sentences"]) {
      const size_t i = sentence["i"];
      SCOPED_TRACE(pair + " " + std::to_string(i));
      const std::string& hypothesis = lines(pair, "hyp." + system)[i];
      std::vector<double> stats(metric->n_stats());
      metric->segment_stats(hypothesis, one[i], stats);
      expect_details(bleu_from_stats(settings, stats), sentence["bleu"]);
      metric->segment_stats(hypothesis, all[i], stats);
      EXPECT_NEAR(metric->scores(stats)[0].score, sentence["multi_ref"]["bleu"].get<double>(),
                  kScoreTolerance);
    }
  }
}

TEST(Bleu, EqualsSacrebleuOnSmallFiles) {
  if (!have_shared_data()) GTEST_SKIP() << "../shared/data is not there";
  const Json small = read_test_json(shared_data("tests-small/small_scores.json"));
  int compared = 0;
  for (const Json& entry : small["mt"]) {
    const std::string pair = entry["pair"], target = pair.substr(pair.find('-') + 1);
    const auto lines = [&](const std::string& stem) {
      return read_test_lines(shared_data("tests-small/mt/" + pair + "." + stem + "." + target));
    };
    for (const Json& want : entry["scores"]) {
      const std::string metric_name = want["metric"], refs = want["refs"];
      if (!metric_name.starts_with("bleu/") || metric_name == "bleu/ja-mecab") continue;
      SCOPED_TRACE(pair + " " + metric_name + " " + refs);
      BleuSettings settings{.tokenizer = metric_name.substr(5)};
      if (settings.tokenizer == "lc") settings = {.tokenizer = "13a", .lowercase = true};
      if (metric_name == "bleu/lc") {
        const std::string signature = want["signature"];
        const size_t tok = signature.find("tok:") + 4;
        settings.tokenizer = signature.substr(tok, signature.find('|', tok) - tok);
      }
      if (settings.tokenizer.starts_with("ja-mecab")) continue;
      std::vector<std::vector<std::string>> streams;
      for (const char name : refs) {
        if (name != '+') streams.push_back(lines(std::string("ref.") + name));
      }
      const SegmentStats stats =
          segment_statistics(*make_bleu(settings), lines(want["hyp"]), by_segment(streams));
      expect_details(bleu_from_stats(settings, stats.sum()), want);
      ++compared;
    }
  }
  EXPECT_GT(compared, 200);
  for (const Json& want : small["edge_scores"]) {
    const std::vector<std::string> hypothesis = {want["hyp"]};
    const References reference = {{want["ref"]}};
    for (const bool effective : {true, false}) {
      const auto metric = make_bleu({.effective_order = effective});
      EXPECT_NEAR(corpus_scores(*metric, hypothesis, reference)[0].score,
                  want[effective ? "bleu" : "bleu_noeff"].get<double>(), kScoreTolerance)
          << want["hyp"] << want["ref"];
    }
  }
}

// Settings by name, as a YAML file or the command line gives them.
std::string error_of(const MetricOptions& options) {
  try {
    make_metric("bleu", options, "metrics[0].bleu");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Bleu, RefusesWrongSettings) {
  EXPECT_EQ(error_of({{"tokenize", "zh"},
                      {"lowercase", "true"},
                      {"smooth", "floor"},
                      {"smooth_value", "0.5"},
                      {"max_ngram_order", "2"}}),
            "");
  EXPECT_NE(error_of({{"tokenizer", "zh"}}).find("'tokenizer'"), std::string::npos);
  EXPECT_NE(error_of({{"tokenizer", "zh"}}).find("(nearest first): tokenize,"), std::string::npos);
  EXPECT_NE(error_of({{"smooth", "expo"}}).find("metrics[0].bleu.smooth"), std::string::npos);
  EXPECT_NE(error_of({{"smooth_value", "1"}}).find("floor and add-k"), std::string::npos);
  EXPECT_NE(error_of({{"smooth", "floor"}, {"smooth_value", "nan"}}), "");
  EXPECT_NE(error_of({{"max_ngram_order", "0"}}), "");
  EXPECT_NE(error_of({{"lowercase", "maybe"}}), "");
}

TEST(Metric, RefusesUnequalOrEmptyCorpora) {
  const auto metric = make_metric("bleu", {});
  const std::vector<std::string> two = {"a", "b"};
  EXPECT_THROW(segment_statistics(*metric, two, References{{"a"}}), Error);
  EXPECT_THROW(segment_statistics(*metric, two, References{{"a"}, {}}), Error);
  EXPECT_THROW(segment_statistics(*metric, std::vector<std::string>{}, References{}), Error);
  EXPECT_THROW(make_metric("blue", {}), Error);
  const SegmentStats stats = segment_statistics(*metric, two, References{{"a"}, {"b", "c"}});
  EXPECT_EQ(format_signature(full_signature(*metric, stats.n_references)),
            "nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:skipbench-0.1.0");
}

// Sums of rows are all that a bootstrap sample needs.
TEST(Metric, ScoreOfARepeatedCorpusIsTheCorpusScore) {
  const std::vector<std::string> once = {"a b c d e", "the model skips layers while decoding"};
  const References references = {{"a b c d f"}, {"the model skips some layers while decoding"}};
  for (const MetricEntry& entry : metric_table()) {
    const auto metric = make_metric(entry.name, {});
    std::vector<double> sums = segment_statistics(*metric, once, references).sum();
    const std::vector<Score> first = metric->scores(sums);
    for (double& sum : sums) sum *= 3;
    const std::vector<Score> third = metric->scores(sums);
    for (size_t i = 0; i < first.size(); ++i) {
      EXPECT_NEAR(first[i].score, third[i].score, 1e-12);
      EXPECT_GT(first[i].score, entry.name == "repetition" ? -1.0 : 1.0) << entry.name;
    }
  }
}

}  // namespace
}  // namespace skipbench
