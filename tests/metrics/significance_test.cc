// Bootstrap and paired tests against sacreBLEU 2.6.0 with numpy's generator.
#include "eval/metrics/significance.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "eval/metrics/numpy_random.h"
#include "eval/metrics/registry.h"
#include "tests/metrics/test_data.h"
#include "tests/metrics/wmt22.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

// sacreBLEU adds statistics up in float32, which is exact here, but for chrF and TER numpy then
// also divides two sums in float32. Each ratio is so off by at most 2^-24 of itself, and with it
// the score, which is homogeneous in the ratios; BLEU's divisions are in double.
double resample_tolerance(const Json& want, const std::string& metric) {
  return metric == "bleu" ? kScoreTolerance : want["score"].get<double>() * 0x1p-24;
}

std::vector<uint32_t> choices(uint32_t seed, uint32_t n, size_t size) {
  std::vector<uint32_t> out(size);
  NumpyRandom(seed).choice(n, out);
  return out;
}

// Values: numpy 2.4.6.
TEST(NumpyRandom, ChoiceEqualsNumpy) {
  using Values = std::vector<uint32_t>;
  EXPECT_EQ(choices(12345, 1, 4), (Values{0, 0, 0, 0}));
  EXPECT_EQ(choices(12345, 2, 8), (Values{1, 0, 1, 0, 0, 1, 1, 1}));
  EXPECT_EQ(choices(12345, 7, 8), (Values{4, 1, 5, 2, 1, 5, 4, 4}));
  EXPECT_EQ(choices(12345, 1000, 8), (Values{699, 227, 788, 316, 204, 797, 642, 676}));
  // A bound at which almost half of all draws are rejected.
  EXPECT_EQ(choices(12345, 2147483659, 4), (Values{1693606519, 680233357, 438466542, 1712329289}));
}

TEST(NumpyRandom, CoinsEqualNumpy) {
  const std::vector<uint8_t> packed = {209, 82, 167, 143, 149, 130, 96, 5, 168};
  NumpyRandom random(7);
  NumpyCoins coins(&random);
  std::vector<uint8_t> got(69);
  coins.next(std::span(got).first(23));  // piece by piece
  coins.next(std::span(got).subspan(23));
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i], packed[i / 8] >> (7 - i % 8) & 1) << i;
  }
  std::vector<uint32_t> after(5);
  random.choice(9, after);
  EXPECT_EQ(after, (std::vector<uint32_t>{8, 5, 6, 7, 2}));
}

TEST(NumpyRandom, EqualsTheSharedIndexRows) {
  if (!have_shared_data()) GTEST_SKIP() << "../shared/data is not there";
  const Json data = read_test_json(shared_data("scores/mt_bootstrap_numpy1.json.gz"));
  for (const Json& check : data["index_check"]) {
    const size_t n = check["n_segments"], samples = check["n_samples"];
    const std::vector<uint32_t> all = choices(12345, static_cast<uint32_t>(n), n * samples);
    EXPECT_EQ(std::vector(all.begin(), all.begin() + 32),
              check["first_row_first_32"].get<std::vector<uint32_t>>());
    EXPECT_EQ(std::vector(all.end() - 8, all.end()),
              check["last_row_last_8"].get<std::vector<uint32_t>>());
  }
}

class Significance : public Wmt22Test {
 protected:
  static SegmentStats stats_of(const Metric& metric, const std::string& pair,
                               const std::string& system, const std::string& refs) {
    return segment_statistics(metric, lines(pair, "hyp." + system), references(pair, refs));
  }

  static std::unique_ptr<Metric> metric_of(const std::string& name, const std::string& pair) {
    if (name == "bleu" && pair == "en-zh") return make_metric("bleu", {{"tokenize", "zh"}});
    return make_metric(name, {});
  }

  static void check_paired(const Json& entry, PairedTest test) {
    const std::string pair = entry["pair"];
    const std::vector<std::string> names = entry["systems"];
    for (const auto& [name, metric_name] :
         {std::pair("BLEU", "bleu"), std::pair("chrF2", "chrf")}) {
      if (!entry["results"].contains(name)) continue;
      SCOPED_TRACE(pair + " " + name);
      const auto metric = metric_of(metric_name, pair);
      std::vector<SegmentStats> systems;
      for (const std::string& system : names) {
        systems.push_back(stats_of(*metric, pair, system, entry["refs"]));
      }
      const auto compared =
          compare_to_baseline(*metric, systems[0], std::span(systems).subspan(1), test, {});
      for (size_t s = 0; s < names.size(); ++s) {
        const Json& want = entry["results"][name][s];
        const ComparedScore& got = compared[s][0];
        EXPECT_NEAR(got.score.score, want["score"].get<double>(), kScoreTolerance);
        ASSERT_EQ(got.p_value.has_value(), !want["p_value"].is_null());
        if (got.p_value) {
          EXPECT_NEAR(*got.p_value, want["p_value"].get<double>(), kScoreTolerance);
        }
        ASSERT_EQ(got.interval.has_value(), !want["mean"].is_null());
        if (!got.interval) continue;
        const double tolerance = resample_tolerance(want, metric_name);
        EXPECT_NEAR(got.interval->mean, want["mean"].get<double>(), tolerance);
        EXPECT_NEAR(got.interval->half_width, want["ci"].get<double>(), tolerance);
      }
    }
  }
};

TEST_F(Significance, IntervalsEqualSacrebleu) {
  const Json data = read_test_json(shared_data("scores/mt_bootstrap_numpy1.json.gz"));
  int compared = 0;
  for (const Json& entry : data["confidence"]) {
    const std::string pair = entry["pair"], name = entry["metric"];
    SCOPED_TRACE(pair + " " + entry["system"].get<std::string>() + " " + name);
    const auto metric = metric_of(name, pair);
    const SegmentStats stats = stats_of(*metric, pair, entry["system"], entry["refs"]);
    const std::vector<ScoreInterval> intervals =
        bootstrap_intervals(*metric, stats, {.resamples = entry["n_bootstrap"]});
    ASSERT_EQ(intervals.size(), 1u);
    const double tolerance = resample_tolerance(entry, name);
    EXPECT_NEAR(intervals[0].mean, entry["mean"].get<double>(), tolerance);
    EXPECT_NEAR(intervals[0].half_width, entry["ci"].get<double>(), tolerance);
    ++compared;
  }
  EXPECT_GE(compared, 30);
}

TEST_F(Significance, PairedTestsEqualSacrebleu) {
  const Json data = read_test_json(shared_data("scores/mt_bootstrap_numpy1.json.gz"));
  ASSERT_FALSE(data["paired_bs"].empty());
  ASSERT_FALSE(data["paired_ar"].empty());
  for (const Json& entry : data["paired_bs"]) check_paired(entry, PairedTest::kBootstrap);
  for (const Json& entry : data["paired_ar"]) check_paired(entry, PairedTest::kRandomisation);
}

const References& small_references() {
  static const References references = [] {
    References made;
    for (int i = 0; i < 40; ++i) {
      made.push_back({"the model " + std::to_string(i) + " skips layers of block " +
                      std::to_string(i * 7 % 5) + " while it decodes a line"});
    }
    return made;
  }();
  return references;
}

std::vector<std::string> outputs(int every) {
  std::vector<std::string> hypotheses;
  for (size_t i = 0; i < small_references().size(); ++i) {
    hypotheses.push_back(i % every == 0 ? "a quite different sentence about nothing"
                                        : small_references()[i][0]);
  }
  return hypotheses;
}

// No metric needs code of its own, ROUGE's four scores included.
TEST(SignificanceOfEveryMetric, FindsWhatIsThereAndNothingElse) {
  for (const MetricEntry& entry : metric_table()) {
    if (entry.name == "repetition") continue;  // no output here repeats itself
    SCOPED_TRACE(entry.name);
    const auto metric = make_metric(entry.name, {});
    const SegmentStats good = segment_statistics(*metric, outputs(1000), small_references());
    const std::vector<SegmentStats> others = {
        segment_statistics(*metric, outputs(2), small_references()), good};
    for (const PairedTest test : {PairedTest::kBootstrap, PairedTest::kRandomisation}) {
      const auto compared =
          compare_to_baseline(*metric, good, others, test, {.resamples = 200, .trials = 500});
      ASSERT_EQ(compared.size(), 3u);
      for (size_t i = 0; i < compared[0].size(); ++i) {
        EXPECT_FALSE(compared[0][i].p_value);
        EXPECT_LT(*compared[1][i].p_value, 0.01);
        EXPECT_EQ(compared[1][i].interval.has_value(), test == PairedTest::kBootstrap);
        EXPECT_EQ(compared[2][i].score.score, compared[0][i].score.score);
        EXPECT_EQ(*compared[2][i].p_value, 1);  // the same output
      }
    }
  }
}

TEST(SignificanceSettings, AreChecked) {
  const auto metric = make_metric("bleu", {});
  const SegmentStats stats = segment_statistics(*metric, outputs(3), small_references());
  EXPECT_THROW(bootstrap_scores(*metric, stats, {.resamples = 0}), Error);
  SegmentStats shorter = stats;
  shorter.n_segments -= 1;
  EXPECT_THROW(
      compare_to_baseline(*metric, stats, std::span(&shorter, 1), PairedTest::kBootstrap, {}),
      Error);
}

}  // namespace
}  // namespace skipbench
