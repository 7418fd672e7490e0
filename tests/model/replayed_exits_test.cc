// Exits that are replayed from a list: each row runs the layers that its entry says, on every
// device, whoever decides, waiting or leaving, and its tokens are those that it has alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "engine/device_steps.h"
#include "tests/devices.h"
#include "tests/model/fixtures.h"

namespace skipbench {
namespace {

constexpr const char* kDepths = "1,4,2,3,1,2,2,4,1,3,3";  // 11: no divisor of 7 x
const std::vector<int> kList = {1, 4, 2, 3, 1, 2, 2, 4, 1, 3, 3};
constexpr int kNewTokens = 5;

StrategySpec replaying(const std::string& signal, const std::string& batch, int interval = 1) {
  return {.name = "early_exit",
          .target = 2,
          .params = {{"depths", {kDepths, ""}},
                     {"signal", {signal, ""}},
                     {"batch", {batch, ""}},
                     {"exit_interval", {std::to_string(interval), ""}},
                     {"min_layer", {"1", ""}}}};
}

// Tests after layers 1, 1 + interval, ...; whoever passes none of them runs all layers.
LayersPerToken wanted_layers(int64_t text, size_t tokens, int interval, int num_layers) {
  LayersPerToken layers = {static_cast<double>(num_layers)};
  for (size_t step = 0; step + 1 < tokens; ++step) {
    const int depth = kList[(step + 7 * static_cast<size_t>(text)) % kList.size()];
    int run = 1;
    while (run < depth) run += interval;
    layers.push_back(std::min(run, num_layers));
  }
  return layers;
}

class ReplayedExits : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { skip_without(GetParam()); }
  std::string path() const { return (fixtures_folder() / "models/llama-untied").string(); }
};

INSTANTIATE_TEST_SUITE_P(, ReplayedExits, testing::Values("cpu", "emulated", "cuda"),
                         [](const testing::TestParamInfo<std::string>& test) {
                           return test.param;
                         });

TEST_P(ReplayedExits, AreExactlyTheLayersAskedFor) {
  LoadedDecoder lone(path(), {.threads = 1});
  LoadedDecoder device(path(), {.device = GetParam()});
  ASSERT_EQ(device.num_layers(), 4);
  constexpr int kRows = 4;
  const auto prompts = ragged_prompts(kRows);
  GenerateOptions options{.max_new_tokens = kNewTokens, .first_text = 3};
  std::vector<std::pair<std::string, int>> rules = {{"softmax_difference", 1}, {"entropy", 2}};
  std::vector<std::string> batches = {"wait", "compact"};
  if (GetParam() != "emulated") {  // slow
    rules.emplace_back("top_probability", 1);
    batches.emplace_back("auto");
  }
  for (const auto& [signal, interval] : rules) {
    for (const std::string& batch : batches) {
      const auto strategy = make_strategy(replaying(signal, batch, interval), 4);
      EXPECT_EQ(DeviceSteps::takes(*strategy, 4), batch != "compact");
      std::vector<TokenIds> alone;
      int64_t tests = 0;
      for (int i = 0; i < kRows; ++i) {
        GenerateOptions own = options;
        own.first_text += i;
        const auto result =
            lone.decoder().generate(std::span(prompts).subspan(i, 1), *strategy, own);
        alone.push_back(result.outputs[0].tokens);
        tests += result.timings.exit_tests;
      }
      for (const bool by_device : {true, false}) {
        if (by_device && batch == "compact") continue;
        options.record_steps = by_device;
        const auto got = device.decoder().generate(prompts, *strategy, options);
        for (int i = 0; i < kRows; ++i) {
          const std::string label = signal + " " + batch + ", row " + std::to_string(i);
          EXPECT_EQ(got.outputs[i].layers_per_token, wanted_layers(3 + i, kNewTokens, interval, 4))
              << label;
          EXPECT_EQ(got.outputs[i].tokens, alone[i]) << label;
        }
        // Computed at every tested layer, as if the confidence decided.
        EXPECT_EQ(got.timings.exit_tests, tests);
        EXPECT_GT(got.timings.exit_test_us, 0);
      }
    }
  }
}

// The hidden states' cosine asks no head, and the host decides.
TEST_P(ReplayedExits, ByCosineAsWell) {
  LoadedDecoder device(path(), {.device = GetParam()});
  StrategySpec spec = replaying("cosine", "wait");
  spec.params["depths"] = {"2,4,3", ""};
  spec.params["min_layer"] = {"2", ""};
  const auto got =
      device.decoder().generate(ragged_prompts(2), *make_strategy(spec, 4), {.max_new_tokens = 4});
  EXPECT_EQ(got.outputs[0].layers_per_token, (LayersPerToken{4, 2, 4, 3}));
  EXPECT_EQ(got.outputs[1].layers_per_token, (LayersPerToken{4, 4, 3, 2}));
}

// Another list of the same length on the same recordings, a longer one, and none.
TEST_P(ReplayedExits, ListsAndThresholdsTakeTurns) {
  LoadedDecoder device(path(), {.device = GetParam()});
  const auto prompts = ragged_prompts(2);
  const auto layers = [&](const char* name, const char* value) {
    StrategySpec spec = replaying("softmax_difference", "auto");
    spec.params.erase("depths");
    spec.params[name] = {value, ""};
    const auto result =
        device.decoder().generate(prompts, *make_strategy(spec, 4), {.max_new_tokens = 4});
    return std::pair(result.outputs[0].layers_per_token, result.outputs[1].layers_per_token);
  };
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(layers("depths", "2,4").first, (LayersPerToken{4, 2, 4, 2}));
    EXPECT_EQ(layers("depths", "3,1").second, (LayersPerToken{4, 1, 3, 1}));
    EXPECT_EQ(layers("depths", "1,2,3,4,4,4,4,3,2,1").second, (LayersPerToken{4, 3, 2, 1}));
    EXPECT_EQ(layers("threshold", "0").first, (LayersPerToken{4, 1, 1, 1}));
    EXPECT_EQ(layers("threshold", "1").first, (LayersPerToken{4, 4, 4, 4}));
  }
  if (device.decoder().device_steps() != nullptr) {
    EXPECT_GT(device.decoder().device_steps()->recordings().replayed(), 0);
  }
}

// Rows that end early leave the batch; the others keep their places in the list.
TEST_P(ReplayedExits, OfRowsThatAreLeftBehind) {
  LoadedDecoder device(path(), {.device = GetParam()});
  const auto strategy = make_strategy(replaying("softmax_difference", "auto"), 4);
  GenerateOptions options{.max_new_tokens = 6};
  options.stop = [](size_t row, std::span<const int32_t> tokens) {
    return tokens.size() == (row == 0 ? 2u : row == 2 ? 3u : 6u);
  };
  const auto got = device.decoder().generate(ragged_prompts(4), *strategy, options);
  for (int i = 0; i < 4; ++i) {
    const size_t tokens = i == 0 ? 2 : i == 2 ? 3 : 6;
    EXPECT_EQ(got.outputs[i].layers_per_token, wanted_layers(i, tokens, 1, 4)) << "row " << i;
  }
}

TEST_P(ReplayedExits, OfTextsThatAreScored) {
  LoadedDecoder device(path(), {.device = GetParam()});
  const auto strategy = make_strategy(replaying("softmax_difference", "compact"), 4);
  const std::vector<ScoreRequest> requests = {{{5, 6}, {1, 2, 3, 4}, 8}, {{7}, {9, 8, 7}, 2}};
  const auto got = device.decoder().score(requests, *strategy);
  EXPECT_EQ(got[0].layers_per_token, wanted_layers(8, 4, 1, 4));
  EXPECT_EQ(got[1].layers_per_token, wanted_layers(2, 3, 1, 4));
}

}  // namespace
}  // namespace skipbench
