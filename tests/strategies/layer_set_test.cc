#include "strategies/layer_set.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace skipbench {
namespace {

TEST(LayerSet, CountsHalfALayerForOneSublayer) {
  LayerSet set = LayerSet::of(5, {0, 4});
  EXPECT_EQ(set.layers(), 2.0);
  EXPECT_TRUE(set.whole_layers());
  set.set_mlp(2, true);
  EXPECT_EQ(set.layers(), 2.5);
  EXPECT_FALSE(set.whole_layers());
  EXPECT_EQ(set.layer_list(), (std::vector<int>{0, 4}));
  EXPECT_EQ(set.mlp_list(), (std::vector<int>{0, 2, 4}));
  EXPECT_EQ(set.attention_list(), (std::vector<int>{0, 4}));
}

TEST(LayerSet, LongestSkippedRun) {
  EXPECT_EQ(LayerSet::all(7).longest_skipped_run(), 0);
  EXPECT_EQ(LayerSet::none(7).longest_skipped_run(), 7);
  EXPECT_EQ(LayerSet::of(7, {0, 4, 6}).longest_skipped_run(), 3);
  EXPECT_EQ(LayerSet::of(7, {0, 1}).longest_skipped_run(), 5);
}

TEST(LayerSet, UnionTakesSublayersOfBoth) {
  LayerSet a = LayerSet::none(3);
  a.set_attention(1, true);
  LayerSet b = LayerSet::none(3);
  b.set_mlp(1, true);
  EXPECT_EQ(a | b, LayerSet::of(3, {1}));
}

TEST(LayerSet, RefusesALayerThatDoesNotExist) {
  EXPECT_THROW(LayerSet::of(3, {0, 3}), Error);
  EXPECT_THROW(LayerSet::of(3, {-1}), Error);
}

}  // namespace
}  // namespace skipbench
