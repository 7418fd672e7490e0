#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "strategies/strategy.h"

namespace skipbench {
namespace {

std::vector<int> layers(int num_layers, double target, const std::string& spacing = "authors") {
  const StrategySpec spec{
      .name = "unified", .target = target, .params = {{"spacing", {spacing, "test"}}}};
  const auto strategy = make_strategy(spec, num_layers);
  EXPECT_EQ(strategy->prefill_layers(num_layers), LayerSet::all(num_layers));
  EXPECT_EQ(strategy->step_layers(num_layers, 0), strategy->step_layers(num_layers, 999));
  return strategy->step_layers(num_layers, 0).layer_list();
}

// The sets that the authors' published code gives for their 30-layer model.
TEST(Unified, SetsOfThePaperFor30Layers) {
  EXPECT_EQ(layers(30, 2),
            (std::vector<int>{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 29}));
  EXPECT_EQ(layers(30, 3), (std::vector<int>{0, 3, 6, 9, 12, 15, 18, 21, 24, 29}));
  EXPECT_EQ(layers(30, 5), (std::vector<int>{0, 6, 12, 18, 24, 29}));
  EXPECT_EQ(layers(30, 10), (std::vector<int>{0, 15, 29}));
  EXPECT_EQ(layers(30, 15), (std::vector<int>{0, 29}));
}

TEST(Unified, TheAuthorsRuleIsUnbalancedBetweenWholeRatios) {
  std::vector<int> expected(19);
  for (int i = 0; i < 19; ++i) expected[i] = i;
  expected.push_back(29);
  EXPECT_EQ(layers(30, 1.5), expected);
}

// The rule once more, as set arithmetic over the authors' loop.
std::vector<int> by_filter(int n, int k) {
  if (n == 1) return {0};
  const int interval = static_cast<int>(std::floor(static_cast<double>(n) / (k - 1)));
  std::vector<int> middle;
  for (int i = interval; i <= n - 2; i += interval) middle.push_back(i);
  if (std::ssize(middle) > k - 2) middle.resize(k - 2);
  middle.insert(middle.begin(), 0);
  middle.push_back(n - 1);
  return middle;
}

TEST(Unified, EveryDepthAndRealTarget) {
  for (int n = 1; n <= 80; ++n) {
    for (double target = 1.0; target <= std::max(1.0, n / 2.0); target += 0.25) {
      const int budget = layer_budget(n, target);
      const std::vector<int> set = layers(n, target);
      EXPECT_EQ(set, by_filter(n, budget)) << n << " layers, target " << target;
      EXPECT_EQ(std::ssize(set), budget) << n << " layers, target " << target;

      const std::vector<int> even = layers(n, target, "even");
      ASSERT_EQ(std::ssize(even), budget) << n << " layers, target " << target;
      EXPECT_EQ(even.front(), 0);
      EXPECT_EQ(even.back(), n - 1);
      int widest = 0;
      int narrowest = n;
      for (size_t i = 1; i < even.size(); ++i) {
        widest = std::max(widest, even[i] - even[i - 1]);
        narrowest = std::min(narrowest, even[i] - even[i - 1]);
      }
      if (even.size() > 1) {
        EXPECT_LE(widest - narrowest, 1) << n << " layers, target " << target;
      }
    }
  }
}

TEST(Unified, TargetOneKeepsEveryLayer) {
  for (int n = 1; n <= 80; ++n) {
    EXPECT_EQ(std::ssize(layers(n, 1)), n);
    EXPECT_EQ(std::ssize(layers(n, 1, "even")), n);
  }
}

}  // namespace
}  // namespace skipbench
