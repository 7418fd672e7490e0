// What a pass has run, counted row by row, and what it is compared with.
#include "engine/layer_counter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace skipbench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Three rows that have run layers 0 and 2 of three.
LayerCounter outer_layers() {
  LayerCounter counter;
  counter.begin(3, 3);
  for (const int layer : {0, 2}) {
    counter.attention_ran(layer, 0, 3);
    counter.mlp_ran(layer, 0, 3);
  }
  return counter;
}

// What is wrong with it, if layers 0 and 2 were declared.
std::string objection(const LayerCounter& counter) {
  try {
    check_ran(counter.ran(), LayerSet::of(3, {0, 2}), "decoding step", 5);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(LayerCounter, CountsEachRow) {
  const LayerCounter counter = outer_layers();
  EXPECT_THAT(counter.sublayers(), ElementsAre(4, 4, 4));
  EXPECT_EQ(counter.ran().layers, LayerSet::of(3, {0, 2}));
  EXPECT_EQ(objection(counter), "");
}

TEST(LayerCounter, APassBeginsAnew) {
  LayerCounter counter = outer_layers();
  counter.begin(3, 2);
  EXPECT_THAT(counter.sublayers(), ElementsAre(0, 0));
  EXPECT_EQ(counter.ran().layers, LayerSet::none(3));
}

TEST(LayerCounter, WhatRanTwiceIsAContradiction) {
  LayerCounter counter = outer_layers();
  counter.mlp_ran(2, 0, 3);
  EXPECT_THAT(objection(counter), HasSubstr("decoding step 5: the engine contradicts itself"));
  EXPECT_THAT(objection(counter), HasSubstr("expected 4 sublayers a row"));
  EXPECT_THAT(objection(counter), HasSubstr("got 5 sublayers a row"));
}

TEST(LayerCounter, WhatDidNotRunIsAContradiction) {
  LayerCounter counter;
  counter.begin(3, 3);
  counter.attention_ran(0, 0, 3);
  counter.mlp_ran(0, 0, 3);
  counter.attention_ran(2, 0, 3);
  EXPECT_THAT(objection(counter), HasSubstr("3 sublayers a row, of attention [0,2] and MLP [0]"));
}

TEST(LayerCounter, ALayerInPlaceOfAnotherIsAContradiction) {
  LayerCounter counter;
  counter.begin(3, 1);
  for (const int layer : {0, 1}) {
    counter.attention_ran(layer, 0, 1);
    counter.mlp_ran(layer, 0, 1);
  }
  EXPECT_THAT(objection(counter), HasSubstr("got 4 sublayers a row, of attention [0,1]"));
}

TEST(LayerCounter, ARowThatWasLeftOutIsAContradiction) {
  LayerCounter counter;
  counter.begin(3, 3);
  for (const int layer : {0, 2}) {
    counter.attention_ran(layer, 0, 3);
    counter.mlp_ran(layer, 0, layer == 0 ? 3 : 2);
  }
  EXPECT_THAT(objection(counter), HasSubstr("got 3 to 4 sublayers a row"));
}

TEST(LayerCounter, CountsMoveWithTheirRows) {
  LayerCounter counter;
  counter.begin(3, 3);
  counter.mlp_ran(0, 1, 2);
  counter.mlp_ran(1, 2, 1);
  const std::vector<int32_t> order = {2, 0, 1};
  counter.permute(order);
  EXPECT_THAT(counter.sublayers(), ElementsAre(2, 0, 1));
}

TEST(LayerCounter, WhatARowWentAlongWithDoesNotCount) {
  LayerCounter counter = outer_layers();
  counter.keep(1, 2);
  counter.mlp_ran(1, 0, 3);
  counter.bring_back(1, 2);
  EXPECT_THAT(counter.sublayers(), ElementsAre(5, 4, 4));
}

}  // namespace
}  // namespace skipbench
