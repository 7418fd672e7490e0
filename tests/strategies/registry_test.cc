#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "engine/base/error.h"
#include "strategies/strategy.h"

namespace skipbench {
namespace {

std::string message_of(const StrategySpec& spec, int layers) {
  try {
    make_strategy(spec, layers);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Registry, NamesAreUniqueAndDescribed) {
  std::set<std::string> names;
  for (const StrategyInfo& info : strategy_table()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_FALSE(info.summary.empty()) << info.name;
    EXPECT_FALSE(info.kv_policy.empty()) << info.name;
    EXPECT_EQ(&find_strategy(info.name), &info);
  }
}

TEST(Registry, UnknownStrategyNamesTheNearest) {
  const std::string message = message_of({.name = "unifid", .where = "a.yaml:7"}, 4);
  const std::string start = "a.yaml:7: unknown strategy 'unifid'; known (nearest first): unified, ";
  EXPECT_EQ(message.substr(0, start.size()), start);
  for (const StrategyInfo& info : strategy_table()) {
    EXPECT_NE(message.find(info.name), std::string::npos) << info.name;
  }
}

TEST(Registry, UnknownParameterIsRefusedWhereItWasWritten) {
  StrategySpec spec{.name = "unified", .target = 2, .params = {{"spacin", {"even", "a.yaml:9"}}}};
  EXPECT_EQ(message_of(spec, 4),
            "a.yaml:9: unknown parameter of strategy 'unified': 'spacin'; known (nearest first): "
            "spacing");
  spec.name = "full";
  EXPECT_NE(message_of(spec, 4).find("takes no parameters"), std::string::npos);
}

TEST(Registry, ParametersOutOfRangeNameTheRange) {
  StrategySpec spec{.name = "early_exit", .target = 2, .params = {{"threshold", {"1.5", "b:1"}}}};
  EXPECT_EQ(message_of(spec, 8),
            "b:1: parameter 'threshold' is out of range; expected a number in [0, 1], got '1.5'");
  spec.params["threshold"].text = "nan";
  EXPECT_NE(message_of(spec, 8), "");
  spec.params["threshold"].text = "0.5x";
  EXPECT_NE(message_of(spec, 8), "");
  spec.params = {{"threshold", {"0.5", ""}}, {"min_layer", {"9", "b:2"}}};
  EXPECT_NE(message_of(spec, 8).find("a whole number in [1, 8]"), std::string::npos);
}

TEST(Budget, IsFloorOfLayersOverTargetButAtLeastTwo) {
  EXPECT_EQ(layer_budget(30, 1), 30);
  EXPECT_EQ(layer_budget(30, 2), 15);
  EXPECT_EQ(layer_budget(30, 4), 7);
  EXPECT_EQ(layer_budget(30, 15), 2);
  EXPECT_EQ(layer_budget(30, 1.5), 20);
  EXPECT_EQ(layer_budget(3, 1.5), 2);
  EXPECT_EQ(layer_budget(1, 1), 1);
  EXPECT_EQ(layer_budget(2, 1), 2);
}

TEST(Budget, TargetsOutsideTheRangeAreRefused) {
  for (const double target : {0.99, 15.01, -1.0, std::numeric_limits<double>::quiet_NaN(),
                              std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW(layer_budget(30, target), Error) << target;
  }
  EXPECT_THROW(layer_budget(1, 1.1), Error);
  EXPECT_THROW(layer_budget(2, 1.5), Error);
}

}  // namespace
}  // namespace skipbench
