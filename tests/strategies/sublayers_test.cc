// adaskip's sets and ffn_skip's rule: exact, and with the budget they promise.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/base/error.h"
#include "strategies/adaskip.h"

namespace skipbench {
namespace {

constexpr const char* kScores =
    R"({"attention": {"similarity": [0.1, 0.9, 0.8, 0.95], "norm_ratio": [2, 3, 4, 5]},
        "mlp": {"similarity": [0.2, 0.3, 0.91, 0.85], "norm_ratio": [6, 7, 8, 9]},
        "late_share": 0.5})";

StrategySpec adaskip(double target, StrategyParams params) {
  return {.name = "adaskip", .target = target, .params = std::move(params)};
}

TEST(AdaSkip, SkipsTheMostSimilarSublayersAndMoreMlpsLater) {
  // N = 4, K = 2: 4 of 8 sublayers on average. By similarity: attention 3, MLP 2, attention 1,
  // MLP 3, attention 2, MLPs 1 and 0, attention 0. Two MLPs more in half of the steps: 3, then 5.
  const auto strategy = make_strategy(
      adaskip(2, {{"scores", {kScores, ""}}, {"more_mlps", {"2", ""}}, {"early_steps", {"3", ""}}}),
      4);
  EXPECT_EQ(strategy->prefill_layers(4), LayerSet::all(4));
  for (const int step : {0, 1, 2}) {
    const LayerSet early = strategy->step_layers(4, step);
    EXPECT_EQ(early.attention_list(), (std::vector<int>{0, 2}));
    EXPECT_EQ(early.mlp_list(), (std::vector<int>{0, 1, 3}));
  }
  for (const int step : {3, 4, 1000}) {
    const LayerSet late = strategy->step_layers(4, step);
    EXPECT_EQ(late.attention_list(), (std::vector<int>{0, 2}));
    EXPECT_EQ(late.mlp_list(), (std::vector<int>{0}));
  }
  EXPECT_EQ(strategy->any_step_layers(4), strategy->step_layers(4, 0));
  EXPECT_FALSE(strategy->sets_can_grow());
  const auto scales = strategy->skip_scales();
  EXPECT_EQ(std::vector<float>(scales.begin(), scales.end()),
            (std::vector<float>{2, 6, 3, 7, 4, 8, 5, 9}));
}

// Attention 0 first, then four MLPs alike. Four more from 2 sublayers on, or three more from 3 on,
// are not left: two more from 3 on are.
TEST(AdaSkip, AsManyMoreMlpsAsAreLeft) {
  const std::string scores =
      R"({"attention": {"similarity": [0.95, 0.1, 0.1, 0.1], "norm_ratio": [1, 1, 1, 1]},
          "mlp": {"similarity": [0.9, 0.9, 0.9, 0.9], "norm_ratio": [1, 1, 1, 1]},
          "late_share": 0.5})";
  const auto strategy = make_strategy(
      adaskip(2, {{"scores", {scores, ""}}, {"more_mlps", {"4", ""}}, {"early_steps", {"1", ""}}}),
      4);
  EXPECT_EQ(strategy->step_layers(4, 0).mlp_list(), (std::vector<int>{2, 3}));
  EXPECT_EQ(strategy->step_layers(4, 1).mlp_list(), (std::vector<int>{}));
  EXPECT_EQ(strategy->step_layers(4, 1).attention_list(), (std::vector<int>{1, 2, 3}));
}

// What f32 or a share of the steps cannot hold.
TEST(AdaSkip, RefusesNumbersOutOfRange) {
  const std::string scores = kScores;
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = scores;
    text.replace(text.find(from), from.size(), to);
    return make_strategy(adaskip(2, {{"scores", {text, "here"}}}), 4);
  };
  for (const char* ratio : {"1e300", "-1"}) {
    EXPECT_THROW(with("9]", std::string(ratio) + "]"), Error) << ratio;
  }
  for (const char* share : {"1.5", "-0.1", "\"half\""}) {
    EXPECT_THROW(with("0.5", share), Error) << share;
  }
}

TEST(AdaSkip, ScaleNonePassesTheInputOn) {
  const auto strategy =
      make_strategy(adaskip(2, {{"scores", {kScores, ""}}, {"scale", {"none", ""}}}), 4);
  EXPECT_TRUE(strategy->skip_scales().empty());
}

TEST(AdaSkip, TheMeanOverTheCalibrationLengthsIsTheBudget) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> similarity(0.3, 1.0);
  for (int n = 8; n <= 80; n += 9) {
    for (const double target : {1.5, 2.0, 3.0}) {
      for (const double share : {0.0, 0.2, 0.37, 0.5, 0.83}) {
        AdaSkipScores scores;
        for (SublayerScores* kind : {&scores.layers.attention, &scores.layers.mlp}) {
          kind->norm_ratio.assign(static_cast<size_t>(n), 1.0);
          for (int layer = 0; layer < n; ++layer) kind->similarity.push_back(similarity(random));
        }
        scores.late_share = share;
        const auto strategy =
            make_strategy(adaskip(target, {{"scores", {adaskip_scores_json(scores), ""}}}), n);
        const int budget = layer_budget(n, target);
        const double early = strategy->step_layers(n, 19).layers();
        const double late = strategy->step_layers(n, 20).layers();
        EXPECT_LT(late, early) << n << " " << target;
        EXPECT_GE(early, budget);
        // Whole sublayers: at worst the mean is half a sublayer, a quarter of a layer, off.
        const double mean = (1 - share) * early + share * late;
        EXPECT_NEAR(mean, budget, 0.25 + 1e-9) << n << " " << target << " " << share;
        if (budget >= 15) {
          EXPECT_NEAR(mean, budget, 0.01 * budget + 1e-9) << n << " " << share;
        }
      }
    }
  }
}

TEST(AdaSkip, LateShareCountsSteps) {
  const int64_t steps[] = {0, 10, 20, 21, 49};
  EXPECT_DOUBLE_EQ(late_share(steps, 20), 30.0 / 100.0);
  EXPECT_EQ(late_share(std::span<const int64_t>(), 20), 0.0);
}

TEST(AdaSkip, RefusesScoresThatAreMissingOrOfAnotherModel) {
  EXPECT_NO_THROW(make_strategy(adaskip(1, {}), 4));
  EXPECT_THROW(make_strategy(adaskip(2, {}), 4), Error);
  EXPECT_THROW(make_strategy(adaskip(2, {{"scores", {kScores, "here"}}}), 5), Error);
  EXPECT_THROW(make_strategy(adaskip(2, {{"scores", {R"({"attention": 3})", "here"}}}), 4), Error);
  EXPECT_THROW(make_strategy(adaskip(2, {{"scores", {"no such file", "here"}}}), 4), Error);
  const auto missing = param_to_calibrate(adaskip(2, {}), 4);
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->name, "scores");
  EXPECT_NO_THROW(make_strategy(adaskip(2, {{"scores", {missing->placeholder, ""}}}), 4));
  EXPECT_FALSE(param_to_calibrate(adaskip(1, {}), 4));
  EXPECT_FALSE(param_to_calibrate(adaskip(2, {{"scores", {kScores, ""}}}), 4));
}

TEST(FfnSkip, TestsTheMlpsBetweenTheEndsButNotTheLastOfThem) {
  const StrategySpec spec{.name = "ffn_skip",
                          .target = 1.5,
                          .params = {{"threshold", {"0.9", ""}},
                                     {"first_layers", {"2", ""}},
                                     {"last_layers", {"3", ""}},
                                     {"warmup_steps", {"4", ""}}}};
  const auto strategy = make_strategy(spec, 10);
  const SkipRule& rule = *strategy->rule();
  EXPECT_EQ(rule.action, RuleAction::kSkipMlps);
  std::vector<int> tested;
  for (int layer = 0; layer < 10; ++layer) {
    if (rule.tests_after(layer, 10)) tested.push_back(layer);
  }
  EXPECT_EQ(tested, (std::vector<int>{2, 3, 4, 5}));
  EXPECT_EQ(rule.threshold(3), 1.0);
  EXPECT_EQ(rule.threshold(4), 0.9);
  EXPECT_FALSE(strategy->sets_can_grow());
}

TEST(FfnSkip, NeedsAThresholdUnlessNothingIsSkipped) {
  EXPECT_THROW(make_strategy({.name = "ffn_skip", .target = 2}, 8), Error);
  const auto at_one = make_strategy({.name = "ffn_skip", .target = 1}, 8);
  for (int layer = 0; layer < 8; ++layer) EXPECT_FALSE(at_one->rule()->tests_after(layer, 8));
  const auto missing = param_to_calibrate({.name = "ffn_skip", .target = 2}, 8);
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->name, "threshold");
}

}  // namespace
}  // namespace skipbench
