// Rules and scaled sublayers against the double-precision reference of tests/fixtures/rules, and
// what rows do that are done with a layer: whichever it is, a row's results are those it has alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>

#include "engine/base/error.h"
#include "tests/devices.h"
#include "tests/model/fixtures.h"

namespace skipbench {
namespace {

nlohmann::json read_rules(const std::string& name) {
  std::ifstream file(fixtures_folder() / "rules" / (name + ".json"));
  return nlohmann::json::parse(file);
}

std::string model_path(const nlohmann::json& fixture) {
  return (fixtures_folder() / fixture["model"].get<std::string>()).string();
}

struct RuleCase {
  std::string device;
  std::string model;
  size_t most_tokens = 1000;  // of a prompt and of a continuation

  friend void PrintTo(const RuleCase& test, std::ostream* out) {
    *out << test.model << " on " << test.device;
  }
};

class Rules : public testing::TestWithParam<RuleCase> {
 protected:
  void SetUp() override { skip_without(GetParam().device); }
};

// The emulated device runs the small models on short texts.
INSTANTIATE_TEST_SUITE_P(
    , Rules,
    testing::Values(RuleCase{"cpu", "bloom-7layers"}, RuleCase{"cpu", "bloom-3heads-post-norm"},
                    RuleCase{"cpu", "qwen3"}, RuleCase{"cpu", "mistral-window"},
                    RuleCase{"emulated", "bloom-3heads-post-norm", 4},
                    RuleCase{"emulated", "mistral-window", 4},
                    RuleCase{"cuda", "bloom-3heads-post-norm"}, RuleCase{"cuda", "mistral-window"}),
    [](const testing::TestParamInfo<RuleCase>& test) {
      return as_test_name(test.param.device + "_" + test.param.model);
    });

TEST_P(Rules, LogProbsAndRealisedLayersAreTheReferences) {
  const nlohmann::json fixture = read_rules(GetParam().model);
  LoadedDecoder model(model_path(fixture), {.device = GetParam().device});
  std::vector<ScoreRequest> requests;
  std::vector<size_t> kept;
  const auto all = requests_of(fixture);
  for (size_t r = 0; r < all.size(); ++r) {
    if (all[r].prompt.size() > GetParam().most_tokens) continue;
    requests.push_back(all[r]);
    TokenIds& continuation = requests.back().continuation;
    continuation.resize(std::min(continuation.size(), GetParam().most_tokens));
    kept.push_back(r);
  }
  ASSERT_GT(requests.size(), 1);
  for (const auto& one_case : fixture["cases"]) {
    const std::string label = one_case["name"];
    const auto strategy = make_strategy(spec_of(one_case), model.num_layers());
    const auto outputs = model.decoder().score(requests, *strategy);
    for (size_t r = 0; r < outputs.size(); ++r) {
      const auto want = one_case["logprobs"][kept[r]].get<std::vector<double>>();
      auto layers = one_case["layers_per_token"][kept[r]].get<LayersPerToken>();
      layers.resize(outputs[r].layers_per_token.size());
      EXPECT_EQ(outputs[r].layers_per_token, layers) << label << ", request " << r;
      for (size_t i = 0; i < outputs[r].log_probs.size(); ++i) {
        EXPECT_NEAR(outputs[r].log_probs[i], want[i], kLogProbTolerance)
            << label << ", request " << r << ", token " << i;
      }
    }
  }
}

// Rules without their thresholds.
std::vector<StrategySpec> batch_specs() {
  return {{.name = "early_exit", .target = 1.5},
          {.name = "early_exit", .target = 1.5, .params = {{"signal", {"entropy", ""}}}},
          {.name = "early_exit", .target = 1.5, .params = {{"signal", {"cosine", ""}}}},
          {.name = "early_exit",
           .target = 1.5,
           .params = {{"decay_tau", {"4", ""}}, {"decay_length", {"6", ""}}}},
          {.name = "ffn_skip", .target = 1.5, .params = {{"last_layers", {"0", ""}}}}};
}

std::unique_ptr<SkipStrategy> with_params(StrategySpec spec, const std::string& threshold,
                                          const std::string& batch, int num_layers) {
  spec.params["threshold"] = {threshold, "test"};
  spec.params["batch"] = {batch, "test"};
  return make_strategy(spec, num_layers);
}

std::set<double> depths_of(const std::vector<LayersPerToken>& rows) {
  std::set<double> depths;
  for (const LayersPerToken& row : rows) {
    if (!row.empty()) depths.insert(row.begin() + 1, row.end());
  }
  return depths;
}

// A threshold at which rows are done at different layers, so that they wait for one another or
// leave; with most depths of those tried.
std::string mixing_threshold(Decoder& decoder, const StrategySpec& spec,
                             std::span<const TokenIds> prompts, int new_tokens) {
  std::string best;
  size_t most = 1;
  for (const char* threshold : {"0.01", "0.02", "0.04", "0.08", "0.15", "0.3", "0.5", "0.7", "0.8",
                                "0.85", "0.9", "0.94", "0.97", "0.985", "0.995"}) {
    const auto strategy = with_params(spec, threshold, "auto", decoder.model().config().num_layers);
    std::vector<LayersPerToken> layers;
    for (const auto& output :
         decoder.generate(prompts, *strategy, {.max_new_tokens = new_tokens}).outputs) {
      layers.push_back(output.layers_per_token);
    }
    const size_t depths = depths_of(layers).size();
    if (depths <= most) continue;
    best = threshold;
    most = depths;
  }
  return best;
}

class BatchSemantics : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { skip_without(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(, BatchSemantics, testing::Values("cpu", "emulated", "cuda"),
                         [](const testing::TestParamInfo<std::string>& test) {
                           return test.param;
                         });

// Alone on the CPU in f32 is what all must give.
TEST_P(BatchSemantics, RowsThatWaitOrLeaveHaveTheTokensThatTheyHaveAlone) {
  constexpr int kNewTokens = 5;
  const auto prompts = ragged_prompts(5);
  for (const std::string name : {"models/llama-untied", "models/bloom-7layers"}) {
    if (GetParam() == "emulated" && name != "models/llama-untied") continue;
    const std::string path = (fixtures_folder() / name).string();
    LoadedDecoder lone(path, {.threads = 1});
    LoadedDecoder device(path, {.device = GetParam()});
    for (const StrategySpec& spec : batch_specs()) {
      const std::string threshold = mixing_threshold(lone.decoder(), spec, prompts, kNewTokens);
      ASSERT_NE(threshold, "") << name << " " << spec.name << ": no mixture to test";
      for (const std::string batch : {"auto", "wait", "compact"}) {
        if (GetParam() == "emulated" && batch == "auto") continue;  // slow, and one of the others
        const auto strategy = with_params(spec, threshold, batch, lone.num_layers());
        const auto together =
            device.decoder().generate(prompts, *strategy, {.max_new_tokens = kNewTokens});
        for (size_t i = 0; i < prompts.size(); ++i) {
          const auto alone = lone.decoder()
                                 .generate(std::span(prompts).subspan(i, 1), *strategy,
                                           {.max_new_tokens = kNewTokens})
                                 .outputs[0];
          const std::string label =
              name + " " + spec.name + " " + threshold + " " + batch + ", row " + std::to_string(i);
          EXPECT_EQ(together.outputs[i].tokens, alone.tokens) << label;
          EXPECT_EQ(together.outputs[i].layers_per_token, alone.layers_per_token) << label;
        }
      }
    }
  }
}

// The same bits on the CPU, log-probabilities included.
TEST(BatchSemanticsBits, WaitAndCompactAreTheSameToTheBit) {
  const nlohmann::json fixture = read_rules("bloom-7layers");
  LoadedDecoder model(model_path(fixture), {.threads = 2});
  const auto requests = requests_of(fixture);
  for (const StrategySpec& spec : batch_specs()) {
    const std::string threshold = mixing_threshold(model.decoder(), spec, ragged_prompts(5), 5);
    const auto a = model.decoder().score(requests, *with_params(spec, threshold, "wait", 7));
    const auto b = model.decoder().score(requests, *with_params(spec, threshold, "compact", 7));
    for (size_t r = 0; r < requests.size(); ++r) {
      const std::string label = spec.name + ", request " + std::to_string(r);
      EXPECT_EQ(a[r].layers_per_token, b[r].layers_per_token) << label;
      ASSERT_EQ(a[r].log_probs.size(), b[r].log_probs.size());
      EXPECT_EQ(std::memcmp(a[r].log_probs.data(), b[r].log_probs.data(),
                            a[r].log_probs.size() * sizeof(double)),
                0)
          << label;
    }
  }
}

}  // namespace
}  // namespace skipbench
