// Which layers a score removes.
#include "strategies/layer_scores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "engine/base/error.h"

namespace skipbench {
namespace {

StrategySpec spec_of(const std::string& score, double target,
                     const std::map<std::string, std::string>& more = {}) {
  StrategySpec spec{.name = "static_pruning", .target = target, .where = "a.yaml:1"};
  spec.params["score"] = {score, "a.yaml:2"};
  for (const auto& [name, value] : more) spec.params[name] = {value, "a.yaml:3"};
  return spec;
}

std::vector<int> removed(const StrategySpec& spec, int n) {
  const LayerSet set = make_strategy(spec, n)->step_layers(n, 5);
  std::vector<int> layers;
  for (int layer = 0; layer < n; ++layer) {
    if (!set.any(layer)) layers.push_back(layer);
  }
  return layers;
}

std::string refusal(const StrategySpec& spec, int n) {
  try {
    make_strategy(spec, n);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(LayerScores, TheLowestGoFirstAndTheEndsStay) {
  std::mt19937 random(5);
  std::uniform_int_distribution<int> number(0, 20);  // with ties
  for (int n = 2; n <= 40; ++n) {
    for (double target = 1; target <= std::max(1.0, n / 2.0); target += 0.4) {
      LayerScores scores;
      for (int layer = 0; layer < n; ++layer) scores.perplexity.push_back(number(random));
      const int budget = layer_budget(n, target);
      const int first = budget >= 8 ? 4 : 1, last = budget >= 8 ? 2 : 1;
      const Pruning pruning = pruning_of(spec_of("perplexity", target), n);
      EXPECT_EQ(pruning.first, first);
      EXPECT_EQ(pruning.last, last);
      std::set<std::pair<double, int>> candidates;
      for (int layer = first; layer < n - last; ++layer) {
        candidates.insert({scores.perplexity[layer], layer});
      }
      std::vector<int> want;
      for (const auto& [score, layer] : candidates) {
        if (std::ssize(want) < n - budget) want.push_back(layer);
      }
      EXPECT_EQ(removal_order(pruning, scores, n, "test"), want) << n << " at " << target;
    }
  }
}

TEST(LayerScores, AngularRemovesTheNearestBlock) {
  LayerScores scores;
  for (int n = 1; n <= 6; ++n) scores.angular.emplace_back(static_cast<size_t>(7 - n), 0.5);
  scores.angular[2] = {0.1, 0.4, 0.3, 0.2};  // 3 layers from 0, 1, 2 or 3; 0 and 3 touch the ends
  const Pruning pruning{LayerScore::kAngular, 3, 1, 1};
  EXPECT_EQ(removal_order(pruning, scores, 6, "test"), (std::vector<int>{2, 3, 4}));
  EXPECT_EQ(removal_order({LayerScore::kAngular, 3, 0, 1}, scores, 6, "test"),
            (std::vector<int>{0, 1, 2}));
}

TEST(LayerScores, AListInParameters) {
  EXPECT_EQ(removed(spec_of("block_influence", 2, {{"scores", "1, 5, 2e-1, 0.3, 4, 1"}}), 6),
            (std::vector<int>{2, 3, 4}));
  EXPECT_EQ(
      removed(spec_of("block_influence", 2, {{"scores", "[0,5,2,3,4,1]"}, {"protect_first", "0"}}),
              6),
      (std::vector<int>{0, 2, 3}));
  // What a sweep puts in.
  EXPECT_EQ(removed(spec_of("greedy", 2, {{"order", "4,1,2"}}), 6), (std::vector<int>{1, 2, 4}));
  const auto pruned = make_strategy(spec_of("perplexity", 2, {{"scores", "1,5,2,3,4,1"}}), 6);
  EXPECT_EQ(pruned->prefill_layers(6), pruned->step_layers(6, 0));
  const auto whole =
      make_strategy(spec_of("perplexity", 2, {{"scores", "1,5,2,3,4,1"}, {"prefill", "full"}}), 6);
  EXPECT_EQ(whole->prefill_layers(6), LayerSet::all(6));
}

TEST(LayerScores, FilesAsProbePrintsThem) {
  const auto path = std::filesystem::temp_directory_path() / "skipbench_layer_scores.json";
  LayerScores scores;
  scores.block_influence = {0.5, 0.25, 0.125, 0.0625};
  scores.greedy = {2, 1};
  std::ofstream(path) << R"({"layers": 4, "scores": )" << layer_scores_json(scores) << "}";
  EXPECT_EQ(removed(spec_of("block_influence", 2, {{"scores", path.string()}}), 4),
            (std::vector<int>{1, 2}));
  EXPECT_EQ(removed(spec_of("greedy", 4.0 / 3, {{"scores", path.string()}}), 4),
            (std::vector<int>{2}));
  EXPECT_NE(refusal(spec_of("block_influence", 2, {{"scores", path.string()}}), 5)
                .find("5 numbers for 5 layers, got 4"),
            std::string::npos);
  EXPECT_NE(refusal(spec_of("perplexity", 2, {{"scores", path.string()}}), 4).find("do not fit"),
            std::string::npos);
  for (const std::string text :
       {"", "[]", "{}", R"({"scores": 3})", R"({"scores": {"block_influence": ["a"]}})",
        R"({"scores": {"greedy": [1.5]}})", R"({"scores": {"greedy": [-1, 1]}})",
        R"({"scores": {"angular": 7}})", R"({"scores": {"block_influence": [1e999, 1, 1, 1]}})"}) {
    std::ofstream(path) << text;
    for (const std::string score : {"block_influence", "greedy", "angular"}) {
      EXPECT_NE(refusal(spec_of(score, 2, {{"scores", path.string()}}), 4).find("a.yaml:3"),
                std::string::npos)
          << text;
    }
  }
  std::filesystem::remove(path);
  EXPECT_NE(refusal(spec_of("greedy", 2, {{"scores", path.string()}}), 4).find("cannot read"),
            std::string::npos);
}

TEST(LayerScores, WhatIsMissingOrWrongIsRefused) {
  EXPECT_NE(refusal(spec_of("greedy", 2), 6).find("skipbench probe"), std::string::npos);
  EXPECT_NE(refusal(spec_of("greedy", 2, {{"scores", "1,2,3"}}), 6).find("`order`"),
            std::string::npos);
  EXPECT_NE(refusal(spec_of("block_influence", 2, {{"scores", "1,2,3"}}), 6).find("got 3"),
            std::string::npos);
  EXPECT_NE(refusal(spec_of("block_influence", 2, {{"scores", "1,,2"}}), 6).find("list of numbers"),
            std::string::npos);
  EXPECT_NE(refusal(spec_of("perplexity", 2, {{"scores", "1,1,1,1,1,1"}, {"protect_last", "3"}}), 6)
                .find("[0, 2]"),
            std::string::npos);
  EXPECT_EQ(refusal(spec_of("greedy", 1), 6), "");  // nothing to remove
  EXPECT_FALSE(param_to_calibrate(spec_of("greedy", 1), 6));
  EXPECT_FALSE(param_to_calibrate(spec_of("list", 2, {{"order", "1,2,3"}}), 6));
  EXPECT_EQ(param_to_calibrate(spec_of("greedy", 2), 6)->name, "order");
}

}  // namespace
}  // namespace skipbench
