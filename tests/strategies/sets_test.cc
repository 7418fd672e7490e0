// Exact sets and schedules of the input-independent strategies, for every depth from 2 to 80 layers
// and real targets, against second formulations of their rules.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>

#include "engine/base/error.h"
#include "strategies/strategy.h"

namespace skipbench {
namespace {

StrategyParams params_of(const std::map<std::string, std::string>& values) {
  StrategyParams params;
  for (const auto& [name, value] : values) params[name] = {value, "a.yaml:3"};
  return params;
}

std::unique_ptr<SkipStrategy> make(const std::string& name, int num_layers, double target,
                                   const std::map<std::string, std::string>& values = {}) {
  return make_strategy({.name = name, .target = target, .params = params_of(values)}, num_layers);
}

std::string refusal(const std::string& name, int num_layers, double target,
                    const std::map<std::string, std::string>& values) {
  try {
    make(name, num_layers, target, values);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void for_all_targets(const std::function<void(int num_layers, double target, int budget)>& body) {
  for (int n = 2; n <= 80; ++n) {
    for (double target = 1.0; target <= std::max(1.0, n / 2.0); target += 0.37) {
      SCOPED_TRACE(std::to_string(n) + " layers, target " + std::to_string(target));
      body(n, target, layer_budget(n, target));
    }
  }
}

TEST(FixedExit, RunsTheFirstLayers) {
  for_all_targets([](int n, double target, int budget) {
    std::vector<int> want;
    for (int layer = 0; layer < n; ++layer) {
      if (layer < std::max(2.0, std::floor(n / target))) want.push_back(layer);
    }
    const auto strategy = make("fixed_exit", n, target);
    EXPECT_EQ(strategy->step_layers(n, 0).layer_list(), want);
    EXPECT_EQ(strategy->step_layers(n, 77), strategy->any_step_layers(n));
    EXPECT_EQ(strategy->prefill_layers(n), LayerSet::all(n));
    EXPECT_EQ(std::ssize(want), budget);
  });
}

// The schedule once more, in floating point, its halves told apart by a margin.
int skip_decode_layers(int most, int least, int length, int step) {
  const double share = std::min(1.0, static_cast<double>(step) / (length - 1));
  return static_cast<int>(std::floor(most - (most - least) * share + 0.5 + 1e-9));
}

TEST(SkipDecode, FallsFromMostToLeastAroundTheBudget) {
  for_all_targets([](int n, double target, int budget) {
    for (const int warmup : {0, 1, 3}) {
      if (warmup > budget - 1) continue;
      const int least = std::max(warmup + 1, 2 * budget - n);
      const int most = 2 * budget - least;
      for (const int length : {2, 7, 64}) {
        const auto strategy = make("skip_decode", n, target,
                                   {{"warmup_layers", std::to_string(warmup)},
                                    {"expected_length", std::to_string(length)}});
        double sum = 0;
        for (int step = 0; step < length + 3; ++step) {
          const LayerSet set = strategy->step_layers(n, step);
          const int active = skip_decode_layers(most, least, length, step);
          std::vector<int> want(static_cast<size_t>(warmup));
          std::iota(want.begin(), want.end(), 0);
          for (int layer = n - active + warmup; layer < n; ++layer) want.push_back(layer);
          ASSERT_EQ(set.layer_list(), want) << "warmup " << warmup << ", step " << step;
          // Never larger than before: no step misses an entry of the cache.
          const LayerSet next = strategy->step_layers(n, step + 1);
          ASSERT_EQ(set | next, set);
          if (step < length) sum += active;
        }
        ASSERT_EQ(strategy->any_step_layers(n), strategy->step_layers(n, 0));
        ASSERT_FALSE(strategy->sets_can_grow());
        // Mean K; rounding halves up adds at most half a layer.
        ASSERT_GE(sum / length, budget - 1e-9);
        ASSERT_LE(sum / length, budget + 0.5);
      }
    }
  });
}

TEST(SkipDecode, ExactScheduleOf30LayersAt2x) {
  const auto strategy = make("skip_decode", 30, 2, {{"expected_length", "4"}});
  std::vector<double> active;
  for (int step = 0; step < 6; ++step) active.push_back(strategy->step_layers(30, step).layers());
  EXPECT_EQ(active, (std::vector<double>{28, 19, 11, 2, 2, 2}));
  EXPECT_EQ(strategy->step_layers(30, 2).layer_list(),
            (std::vector<int>{0, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29}));
}

TEST(SkipDecode, TheLengthNeedNotBeWhole) {
  const auto strategy = make("skip_decode", 30, 2, {{"expected_length", "3.6"}});
  std::vector<double> active;
  for (int step = 0; step < 5; ++step) active.push_back(strategy->step_layers(30, step).layers());
  EXPECT_EQ(active, (std::vector<double>{28, 18, 8, 2, 2}));  // 28 - 10 step
}

TEST(SkipDecode, MinLayersSetsTheSlope) {
  const auto flat = make("skip_decode", 30, 2, {{"min_layers", "15"}});
  EXPECT_EQ(flat->step_layers(30, 0).layers(), 15);
  EXPECT_EQ(flat->step_layers(30, 1000).layers(), 15);
  EXPECT_EQ(refusal("skip_decode", 30, 2, {{"min_layers", "16"}}),
            "a.yaml:3: parameter 'min_layers' is out of range; expected a whole number in [2, 15], "
            "got '16'");
  EXPECT_NE(refusal("skip_decode", 30, 10, {{"warmup_layers", "3"}}).find("[0, 2]"),
            std::string::npos);
  EXPECT_NE(refusal("skip_decode", 30, 2, {{"expected_length", "1"}}).find("[2, 1048576]"),
            std::string::npos);
  EXPECT_NE(refusal("skip_decode", 30, 2, {{"expected_length", "1.99"}}).find("[2, 1048576]"),
            std::string::npos);
}

// SplitMix64 and the shuffle written again: state as a function of the draw's number.
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::vector<int> random_layers(int n, int budget, uint64_t seed) {
  std::vector<int> pool, kept = {0, n - 1};
  for (int layer = 1; layer < n - 1; ++layer) pool.push_back(layer);
  uint64_t draw = 0;
  int place = 0;
  while (std::ssize(kept) < budget) {
    const uint64_t bound = pool.size() - static_cast<size_t>(place);
    const uint64_t value = mix(seed + ++draw * 0x9e3779b97f4a7c15ULL);
    const auto wide = static_cast<unsigned __int128>(1) << 64;
    if (value < static_cast<uint64_t>(wide % bound)) continue;
    std::swap(pool[place], pool[place + static_cast<int>(value % bound)]);
    kept.push_back(pool[place++]);
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

TEST(Random, SetsPerRun) {
  for_all_targets([](int n, double target, int budget) {
    for (const int seed : {0, 1, 12345}) {
      const auto strategy = make("random", n, target, {{"seed", std::to_string(seed)}});
      EXPECT_EQ(strategy->step_layers(n, 0).layer_list(),
                random_layers(n, budget, static_cast<uint64_t>(seed)));
      EXPECT_EQ(strategy->step_layers(n, 9), strategy->any_step_layers(n));
      EXPECT_FALSE(strategy->sets_can_grow());
    }
  });
}

TEST(Random, SetsPerStep) {
  for_all_targets([](int n, double target, int budget) {
    const auto strategy = make("random", n, target, {{"seed", "5"}, {"per", "step"}});
    LayerSet seen = strategy->step_layers(n, 0);
    // The first 256 are drawn ahead.
    for (const int step : {0, 1, 2, 3, 9, 77, 254, 255, 256, 257, 100000}) {
      const uint64_t seed = mix(6 + 0x9e3779b97f4a7c15ULL) + static_cast<uint64_t>(step);
      EXPECT_EQ(strategy->step_layers(n, step).layer_list(),
                random_layers(n, budget, mix(seed + 0x9e3779b97f4a7c15ULL)));
      seen = seen | strategy->step_layers(n, step);
    }
    EXPECT_EQ(seen | strategy->any_step_layers(n), strategy->any_step_layers(n));
    EXPECT_EQ(strategy->sets_can_grow(), budget > 2 && budget < n);
  });
}

// Sets as tests/fixtures/reference.py gives them.
TEST(Random, TheSameOnEveryMachine) {
  EXPECT_EQ(mix(0x9e3779b97f4a7c15ULL), 0xe220a8397b1dcdafULL);  // SplitMix64's published first
  const auto first = make("random", 30, 5, {{"seed", "0"}})->step_layers(30, 0).layer_list();
  const auto second = make("random", 30, 5, {{"seed", "1"}})->step_layers(30, 0).layer_list();
  EXPECT_EQ(first, (std::vector<int>{0, 2, 4, 23, 24, 29}));
  EXPECT_EQ(second, (std::vector<int>{0, 10, 14, 17, 27, 29}));
}

TEST(Random, EveryLayerBetweenIsEquallyLikely) {
  constexpr int kDraws = 4000;
  std::vector<int> counts(10);
  const auto strategy = make("random", 10, 2, {{"per", "step"}});
  for (int step = 0; step < kDraws; ++step) {
    for (int layer : strategy->step_layers(10, step).layer_list()) ++counts[layer];
  }
  EXPECT_EQ(counts.front(), kDraws);
  EXPECT_EQ(counts.back(), kDraws);
  const double share = 3.0 / 8;  // K - 2 of N - 2
  const double deviation = std::sqrt(kDraws * share * (1 - share));
  for (int layer = 1; layer < 9; ++layer) {
    EXPECT_NEAR(counts[layer], kDraws * share, 4.5 * deviation) << layer;
  }
}

TEST(Layers, ListsAsTheyAreWritten) {
  const auto list = [](const std::string& text) {
    return make("layers", 12, 1, {{"layers", text}})->step_layers(12, 3).layer_list();
  };
  EXPECT_EQ(list("0,5,11"), (std::vector<int>{0, 5, 11}));
  EXPECT_EQ(list("[11, 0-2 , 5]"), (std::vector<int>{0, 1, 2, 5, 11}));
  const auto halves = make("layers", 4, 1, {{"attention", "0,3"}, {"mlp", "0-2"}});
  const LayerSet set = halves->step_layers(4, 0);
  EXPECT_EQ(set.attention_list(), (std::vector<int>{0, 3}));
  EXPECT_EQ(set.mlp_list(), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(halves->prefill_layers(4), LayerSet::all(4));
  EXPECT_EQ(make("layers", 4, 1, {{"layers", "1"}, {"prefill", "same"}})->prefill_layers(4),
            LayerSet::of(4, {1}));
}

TEST(Layers, RefusalsNameTheRangeAndThePlace) {
  EXPECT_EQ(refusal("layers", 12, 1, {{"layers", "0,12"}}),
            "a.yaml:3: parameter 'layers' names a layer that the model does not have; expected "
            "layers in [0, 11], as 0-5,9, got '12'");
  for (const std::string text :
       {"0,0", "3-1", "-1", "a", "1-", "0;2", "0,,2", "0-12", "1.5", "99999999999999999999"}) {
    EXPECT_NE(refusal("layers", 12, 1, {{"layers", text}}).find("[0, 11]"), std::string::npos)
        << text;
  }
  EXPECT_NE(refusal("layers", 12, 1, {}), "");
  EXPECT_NE(refusal("layers", 12, 1, {{"attention", "0"}}), "");
  EXPECT_NE(refusal("layers", 12, 1, {{"layers", "0"}, {"mlp", "0"}}), "");
  EXPECT_NE(refusal("layers", 12, 1, {{"layers", ""}}), "");
}

TEST(SelfSpeculative, DraftsWithTheLayersThatAreAsked) {
  const auto draft = [](std::map<std::string, std::string> values) {
    return make("self_speculative", 12, 3, values)->speculation()->draft;
  };
  const LayerSet unified = make("unified", 12, 3)->step_layers(12, 0);
  EXPECT_EQ(draft({}), unified);
  EXPECT_EQ(draft({{"draft", "unified"}}), unified);
  EXPECT_EQ(draft({{"draft", "fixed_exit"}}), LayerSet::of(12, {0, 1, 2, 3}));
  EXPECT_EQ(draft({{"draft", "layers"}, {"layers", "0,5-6"}}), LayerSet::of(12, {0, 5, 6}));
  const LayerSet halves = draft({{"draft", "layers"}, {"attention", "1"}, {"mlp", "0-1"}});
  EXPECT_EQ(halves.attention_list(), (std::vector<int>{1}));
  EXPECT_EQ(halves.mlp_list(), (std::vector<int>{0, 1}));
}

TEST(SelfSpeculative, RefusesWhatTheDraftDoesNotRead) {
  const auto refused = [](std::map<std::string, std::string> values) {
    return refusal("self_speculative", 12, 3, values);
  };
  EXPECT_EQ(refused({{"layers", "0-3"}}),
            "a.yaml:3: parameter 'layers' is for `draft: layers` alone; expected `draft: layers` "
            "beside it, got no `draft`");
  EXPECT_NE(refused({{"draft", "fixed_exit"}, {"mlp", "0"}}).find("got fixed_exit"),
            std::string::npos);
  EXPECT_NE(refused({{"draft", "fixed_exit"}, {"spacing", "even"}}).find("`draft: unified` alone"),
            std::string::npos);
  EXPECT_NE(refused({{"draft", "layers"}}).find("'self_speculative' needs to know which layers"),
            std::string::npos);
  EXPECT_NE(refused({{"draft", "layers"}, {"layers", "12"}}).find("[0, 11]"), std::string::npos);
  EXPECT_NE(refused({{"draft", "layer"}}).find("layers"), std::string::npos);
}

TEST(StaticPruning, RemovesTheFirstOfTheOrder) {
  for_all_targets([](int n, double target, int budget) {
    std::string order;  // from the top down, the last layer left alone
    for (int layer = n - 2; layer >= 0; --layer) order += std::to_string(layer) + ",";
    std::vector<int> want;
    for (int layer = 0; layer < budget - 1; ++layer) want.push_back(layer);
    want.push_back(n - 1);
    const auto pruned = make("static_pruning", n, target, {{"order", order}});
    EXPECT_EQ(pruned->step_layers(n, 4).layer_list(), want);
    EXPECT_EQ(pruned->prefill_layers(n).layer_list(), want);
    const auto full = make("static_pruning", n, target, {{"order", order}, {"prefill", "full"}});
    EXPECT_EQ(full->step_layers(n, 4).layer_list(), want);
    EXPECT_EQ(full->prefill_layers(n), LayerSet::all(n));
  });
}

TEST(StaticPruning, NeedsAnOrderThatIsLongEnough) {
  EXPECT_EQ(refusal("static_pruning", 8, 2, {{"order", "6,5,4"}}),
            "a.yaml:3: static_pruning needs an order of removal that is long enough; expected "
            "`order`: at least 4 layers in [0, 7], the first to go first, got 3");
  EXPECT_NE(refusal("static_pruning", 8, 2, {}), "");
  EXPECT_NE(refusal("static_pruning", 8, 2, {{"order", "6,5,4,8"}}), "");
  EXPECT_EQ(refusal("static_pruning", 8, 1, {}), "");  // nothing to remove
}

}  // namespace
}  // namespace skipbench
