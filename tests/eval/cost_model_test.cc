// The bound against sums written out by hand for a model of one shape.
#include "eval/cost_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/weights/load.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

// The fixture's model: 6 layers, hidden 24, 4 heads of 6, 2 KV heads, inner 40, 257 words, f32.
constexpr double kHidden = 24, kHeads = 4, kKvHeads = 2, kHeadDim = 6, kInner = 40, kVocab = 257;
constexpr double kQkv = (kHeads + 2 * kKvHeads) * kHeadDim;

struct ByHand {
  double bandwidth, rate, rows, context;

  double time(double bytes, double flops) const {
    return std::max(bytes / bandwidth, flops / rate);
  }
  double linear(double in, double weight_rows, double out) const {
    return time(4 * (in * weight_rows + rows * (in + out)), 2 * rows * in * weight_rows);
  }
  double layer() const {
    const double attend =
        time(rows * 4 * (2 * context * kKvHeads * kHeadDim + 2 * kHeads * kHeadDim),
             rows * 4 * context * kHeads * kHeadDim);
    return linear(kHidden, kQkv, kQkv) + attend + linear(kHeads * kHeadDim, kHidden, kHidden) +
           linear(kHidden, 2 * kInner, kInner) + linear(kInner, kHidden, kHidden);
  }
  double head() const { return linear(kHidden, kVocab, kVocab); }
  double embed() const { return time(rows * 4 * 2 * kHidden, 0); }
};

class CostModelTest : public testing::TestWithParam<ByHand> {
 protected:
  CostModelTest()
      : loaded_(load_model("synthetic:" + folder_.path("model.json"))),
        model_(loaded_, DType::kF32, {GetParam().bandwidth, GetParam().rate},
               {static_cast<int64_t>(GetParam().rows), GetParam().context}) {}

  SweepFolder folder_;
  LoadedModel loaded_;
  CostModel model_;
};

TEST_P(CostModelTest, StaticSets) {
  const ByHand& hand = GetParam();
  const double rest = hand.embed() + hand.head();
  EXPECT_NEAR(model_.step_seconds(LayerSet::all(6), KvPolicy::kAbsent), 6 * hand.layer() + rest,
              1e-12 * rest);
  EXPECT_NEAR(model_.step_seconds(LayerSet::of(6, {0, 5}), KvPolicy::kAbsent),
              2 * hand.layer() + rest, 1e-12 * rest);
  const auto unified = make_strategy({.name = "unified", .target = 3}, 6);
  EXPECT_NEAR(model_.static_seconds(*unified, 4), 2 * hand.layer() + rest, 1e-12 * rest);
}

TEST_P(CostModelTest, ProjectedKeysAndValuesCost) {
  const ByHand& hand = GetParam();
  const double kv = hand.linear(kHidden, kQkv, kQkv) * 2 * kKvHeads * kHeadDim / kQkv;
  const LayerSet set = LayerSet::of(6, {0, 5});
  EXPECT_NEAR(
      model_.step_seconds(set, KvPolicy::kProject) - model_.step_seconds(set, KvPolicy::kAbsent),
      4 * kv, 1e-9 * kv);
}

TEST_P(CostModelTest, ExitTestsAreHeadEvaluations) {
  const ByHand& hand = GetParam();
  // Two tokens: one leaves after 2 layers, one runs all 6 and needs a head of its own.
  const std::vector<LayersPerToken> layers = {{6, 2, 6}};
  const double want = hand.embed() + 4 * hand.layer() + hand.head() * (1.5 + 0.5);
  EXPECT_NEAR(model_.dynamic_seconds(layers, 1.5, SkipRule{}, KvPolicy::kAbsent), want,
              1e-12 * want);
}

TEST_P(CostModelTest, CosineTestsNeedNoHeadAndSkippedMlpsCostNothing) {
  const ByHand& hand = GetParam();
  const std::vector<LayersPerToken> layers = {{6, 2, 6}};
  const double rest = hand.embed() + hand.head();
  const SkipRule cosine{.signal = ExitSignal::kCosine};
  EXPECT_NEAR(model_.dynamic_seconds(layers, 3, cosine, KvPolicy::kAbsent), 4 * hand.layer() + rest,
              1e-12 * rest);
  // Two tokens: one lacks 3 MLPs, one none.
  const std::vector<LayersPerToken> halves = {{6, 4.5, 6}};
  const double mlp =
      hand.linear(kHidden, 2 * kInner, kInner) + hand.linear(kInner, kHidden, kHidden);
  const SkipRule skip{.action = RuleAction::kSkipMlps, .signal = ExitSignal::kCosine};
  EXPECT_NEAR(model_.dynamic_seconds(halves, 3, skip, KvPolicy::kAbsent),
              6 * hand.layer() + rest - 1.5 * mlp, 1e-9 * rest);
}

INSTANTIATE_TEST_SUITE_P(Shapes, CostModelTest,
                         testing::Values(ByHand{1e9, 1e15, 1, 10},   // bound by bytes
                                         ByHand{1e15, 1e9, 3, 7.5},  // bound by arithmetic
                                         ByHand{1e9, 2e9, 8, 100}));

}  // namespace
}  // namespace skipbench
