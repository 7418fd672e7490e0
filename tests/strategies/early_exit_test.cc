#include <gtest/gtest.h>

#include <cmath>

#include "engine/base/error.h"
#include "strategies/strategy.h"

namespace skipbench {
namespace {

TEST(SkipRule, TestsFromMinLayerAtTheIntervalButNotAfterTheLastLayer) {
  const SkipRule rule{.min_layer = 3, .interval = 2, .threshold_lambda = 0.5};
  std::vector<int> tested;
  for (int layer = 0; layer < 8; ++layer) {
    if (rule.tests_after(layer, 8)) tested.push_back(layer);
  }
  EXPECT_EQ(tested, (std::vector<int>{2, 4, 6}));
  SkipRule last = rule;
  last.min_layer = 8;
  EXPECT_FALSE(last.tests_after(7, 8));
}

TEST(SkipRule, AThresholdOfOneRunsNoTest) {
  const SkipRule rule{.threshold_lambda = 1.0};
  for (int layer = 0; layer < 8; ++layer) EXPECT_FALSE(rule.tests_after(layer, 8));
}

TEST(SkipRule, ThresholdDecaysWithThePositionAndIsClipped) {
  SkipRule rule{.threshold_lambda = 0.8};
  EXPECT_EQ(rule.threshold(100), 0.8);
  rule.decay_tau = 4;
  rule.decay_length = 10;
  EXPECT_DOUBLE_EQ(rule.threshold(0), 0.8);
  EXPECT_DOUBLE_EQ(rule.threshold(5), 0.72 + 0.08 * std::exp(-2.0));
  EXPECT_NEAR(rule.threshold(100000), 0.72, 1e-12);
}

TEST(EarlyExit, NeedsAThresholdUnlessNothingIsSkipped) {
  const StrategySpec spec{.name = "early_exit", .target = 2};
  EXPECT_THROW(make_strategy(spec, 8), Error);
  StrategySpec at_one = spec;
  at_one.target = 1;
  const auto strategy = make_strategy(at_one, 8);
  ASSERT_NE(strategy->rule(), nullptr);
  EXPECT_FALSE(strategy->rule()->tests_after(3, 8));
}

TEST(EarlyExit, TheThresholdFallsOverTheNewTokens) {
  const auto rule_of = [](StrategyParams params) {
    params["threshold"] = {"0.8", ""};
    const StrategySpec spec{.name = "early_exit", .target = 2, .params = std::move(params)};
    return *make_strategy(with_new_tokens(spec, 48), 8)->rule();
  };
  EXPECT_EQ(rule_of({}).threshold(30), 0.8);
  const SkipRule both = rule_of({{"decay_tau", {"2", ""}}, {"decay_length", {"10", ""}}});
  EXPECT_DOUBLE_EQ(both.threshold(5), 0.72 + 0.08 * std::exp(-1.0));
  const SkipRule by_tau = rule_of({{"decay_tau", {"4", ""}}});
  EXPECT_DOUBLE_EQ(by_tau.threshold(12), 0.72 + 0.08 * std::exp(-1.0));
  // CALM's tau.
  const SkipRule by_length = rule_of({{"decay_length", {"12", ""}}});
  EXPECT_DOUBLE_EQ(by_length.threshold(3), 0.72 + 0.08 * std::exp(-1.0));
  // A command that makes no texts has no length to give.
  const StrategySpec spec{.name = "early_exit",
                          .target = 2,
                          .params = {{"threshold", {"0.8", ""}}, {"decay_tau", {"4", "a.yaml:3"}}}};
  try {
    make_strategy(spec, 8);
    FAIL() << "a decay over no tokens was accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("a.yaml:3: decay_tau needs decay_length"),
              std::string::npos)
        << error.what();
  }
  EXPECT_THROW(with_new_tokens({.name = "none"}, 3), Error);
  // A name that is no name gives nothing.
  const StrategySpec unnamed{.name = "skip_decode", .params = {{"", {"5", ""}}}};
  EXPECT_EQ(with_new_tokens(unnamed, 3).params.size(), 1u);
}

TEST(EarlyExit, ParametersReachTheRule) {
  const StrategySpec spec{.name = "early_exit",
                          .target = 2,
                          .params = {{"signal", {"entropy", ""}},
                                     {"threshold", {"0.25", ""}},
                                     {"min_layer", {"3", ""}},
                                     {"exit_interval", {"2", ""}},
                                     {"kv", {"absent", ""}}}};
  const auto strategy = make_strategy(spec, 8);
  const SkipRule& rule = *strategy->rule();
  EXPECT_EQ(rule.signal, ExitSignal::kEntropy);
  EXPECT_EQ(rule.threshold_lambda, 0.25);
  EXPECT_EQ(rule.min_layer, 3);
  EXPECT_EQ(rule.interval, 2);
  EXPECT_EQ(strategy->kv_policy(), KvPolicy::kAbsent);
  EXPECT_TRUE(strategy->sets_can_grow());
}

TEST(EarlyExit, CosineComparesStatesAndSoNeedsTwo) {
  StrategySpec spec{.name = "early_exit",
                    .target = 2,
                    .params = {{"signal", {"cosine", ""}}, {"threshold", {"0.9", ""}}}};
  EXPECT_EQ(make_strategy(spec, 8)->rule()->min_layer, 2);
  spec.params["min_layer"] = {"1", "here"};
  EXPECT_THROW(make_strategy(spec, 8), Error);
  spec.params["min_layer"] = {"5", "here"};
  const auto strategy = make_strategy(spec, 8);
  EXPECT_EQ(strategy->rule()->signal, ExitSignal::kCosine);
  EXPECT_FALSE(strategy->rule()->tests_after(3, 8));
  EXPECT_TRUE(strategy->rule()->tests_after(4, 8));
}

TEST(EarlyExit, BatchSemanticsReachTheRule) {
  StrategySpec spec{.name = "early_exit", .target = 2, .params = {{"threshold", {"0.5", ""}}}};
  EXPECT_EQ(make_strategy(spec, 8)->rule()->rows_done, RowsDone::kAuto);
  spec.params["batch"] = {"compact", "here"};
  EXPECT_EQ(make_strategy(spec, 8)->rule()->rows_done, RowsDone::kCompact);
  spec.params["batch"] = {"wait", "here"};
  EXPECT_EQ(make_strategy(spec, 8)->rule()->rows_done, RowsDone::kWait);
  spec.params["kv"] = {"absent", "here"};
  EXPECT_THROW(make_strategy(spec, 8), Error);
}

TEST(ExitConfidence, OfEachSignal) {
  EXPECT_DOUBLE_EQ(exit_confidence(ExitSignal::kSoftmaxDifference, 0.75f, 0.125f, 9, 9), 0.625);
  EXPECT_DOUBLE_EQ(exit_confidence(ExitSignal::kTopProbability, 0.75f, 0.125f, 9, 9), 0.75);
  // Certain: entropy 0. Uniform over 8 words: entropy log 8.
  EXPECT_DOUBLE_EQ(exit_confidence(ExitSignal::kEntropy, 1, 0, 0, std::log(8.0)), 1.0);
  EXPECT_NEAR(exit_confidence(ExitSignal::kEntropy, 0.125f, 0.125f,
                              static_cast<float>(std::log(8.0)), std::log(8.0)),
              0.0, 1e-7);
}

}  // namespace
}  // namespace skipbench
