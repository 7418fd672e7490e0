// Against Hugging Face transformers and the double-precision reference of tests/fixtures.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "tests/model/fixtures.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

// A model that was not trained for skipping has states far outside its usual range under it, which
// amplify f32 rounding; the reference for skipping is computed in f64.
constexpr double kToleranceOfTheDemoModelSkipping = 5e-4;

class Parity : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    fixture_ = read_case(GetParam());
    path_ = (fixtures_folder() / fixture_["model"].get<std::string>()).string();
  }

  nlohmann::json fixture_;
  std::string path_;
};

void expect_case(Decoder& decoder, const nlohmann::json& one_case,
                 const std::vector<ScoreRequest>& requests, double tolerance = kLogProbTolerance) {
  const std::string name = one_case["name"];
  const auto strategy = make_strategy(spec_of(one_case), decoder.model().config().num_layers);
  const std::vector<ScoreOutput> outputs = decoder.score(requests, *strategy);
  ASSERT_EQ(outputs.size(), one_case["logprobs"].size());
  for (size_t r = 0; r < outputs.size(); ++r) {
    const auto want = one_case["logprobs"][r].get<std::vector<double>>();
    ASSERT_EQ(outputs[r].log_probs.size(), want.size()) << name;
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(outputs[r].log_probs[i], want[i], tolerance)
          << name << ", request " << r << ", token " << i;
    }
    EXPECT_EQ(outputs[r].layers_per_token, one_case["layers_per_token"][r].get<LayersPerToken>())
        << name << ", request " << r;
  }
}

TEST_P(Parity, LogProbsAndRealisedLayersOfEveryCaseAsOneRaggedBatch) {
  LoadedDecoder model(path_, {.threads = 2});
  ASSERT_EQ(model.num_layers(), fixture_["num_layers"].get<int>());
  for (const auto& one_case : fixture_["cases"]) {
    expect_case(model.decoder(), one_case, requests_of(fixture_));
  }
}

TEST_P(Parity, GreedyTokens) {
  LoadedDecoder model(path_, {.threads = 1});
  for (const auto& one_case : fixture_["greedy"]) {
    const auto strategy = make_strategy(spec_of(one_case), model.num_layers());
    for (const auto& output : one_case["outputs"]) {
      const auto want = output["tokens"].get<TokenIds>();
      const std::vector<TokenIds> prompts = {output["prompt"].get<TokenIds>()};
      const GenerateResult result = model.decoder().generate(
          prompts, *strategy, {.max_new_tokens = static_cast<int>(want.size())});
      EXPECT_EQ(result.outputs.front().tokens, want) << one_case["strategy"];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Parity, testing::ValuesIn(case_names()), fixture_test_name);

// The same model in the other spelling of config.json, put beside a link to the weights.
TEST(ConfigSpelling, Transformers4AndTransformers5GiveTheSameLogProbs) {
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures_folder() / "models")) {
    if (!std::filesystem::exists(entry.path() / "config.v4.json")) continue;
    const auto folder =
        std::filesystem::temp_directory_path() /
        ("skipbench-v4-" + entry.path().filename().string() + "-" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder);
    std::filesystem::copy(entry.path(), folder);
    std::filesystem::rename(folder / "config.v4.json", folder / "config.json");
    const nlohmann::json fixture = read_case(entry.path().filename().string());
    LoadedDecoder model(folder.string(), {.threads = 1});
    expect_case(model.decoder(), fixture["cases"][0], requests_of(fixture));
    std::filesystem::remove_all(folder);
    ++models;
  }
  EXPECT_GT(models, 10);
}

// Under sanitizers the real model takes minutes: they see a part of it, and the tiny models whole.
constexpr size_t kMostPrompts = kSanitized ? 2 : 32;
constexpr size_t kMostTokens = kSanitized ? 5 : 32;

// The first `count` entries of a JSON array.
nlohmann::json first_of(const nlohmann::json& list, size_t count) {
  return nlohmann::json(list.begin(),
                        list.begin() + static_cast<ptrdiff_t>(std::min(count, list.size())));
}

// The real model: 32 prompts in one batch against transformers on the dequantised weights.
class DemoModel : public testing::Test {
 protected:
  void SetUp() override {
    const auto folder = std::filesystem::path(SKIPBENCH_SOURCE_DIR) / "models" / "smollm2-135m";
    if (!std::filesystem::exists(folder)) {
      GTEST_SKIP() << "no demo model; scripts/fetch_model smollm2 brings it";
    }
    model_ = std::make_unique<LoadedDecoder>(folder.string(), DeviceSpec{});
    std::ifstream file(fixtures_folder() / "smollm2_greedy.json");
    fixture_ = nlohmann::json::parse(file);
  }

  std::unique_ptr<LoadedDecoder> model_;
  nlohmann::json fixture_;
};

TEST_F(DemoModel, GreedyTokensEqualTransformers) {
  // Where the reference's two best logits are nearer than this, either token is right.
  constexpr double kTie = 1e-3;
  std::vector<TokenIds> prompts;
  ASSERT_EQ(fixture_["greedy"].size(), 32);
  for (const auto& one : first_of(fixture_["greedy"], kMostPrompts)) {
    prompts.push_back(one["prompt"].get<TokenIds>());
  }
  const GenerateResult result =
      model_->decoder().generate(prompts, *make_strategy({.name = "full"}, model_->num_layers()),
                                 {.max_new_tokens = static_cast<int>(kMostTokens)});
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto want = first_of(fixture_["greedy"][i]["tokens"], kMostTokens).get<TokenIds>();
    const auto gaps = fixture_["greedy"][i]["gaps"].get<std::vector<double>>();
    const TokenIds& got = result.outputs[i].tokens;
    ASSERT_EQ(got.size(), want.size());
    const auto [first, unused] = std::mismatch(got.begin(), got.end(), want.begin());
    if (first == got.end()) continue;
    const auto at = static_cast<size_t>(first - got.begin());
    EXPECT_LT(gaps[at], kTie) << "prompt " << i << " differs first at token " << at;
  }
}

TEST_F(DemoModel, LogProbsUnderSkipping) {
  std::vector<ScoreRequest> requests;
  for (const auto& index : first_of(fixture_["scored"], kMostPrompts)) {
    const auto& one = fixture_["greedy"][index.get<size_t>()];
    requests.push_back(
        {one["prompt"].get<TokenIds>(), first_of(one["tokens"], kMostTokens).get<TokenIds>()});
  }
  for (auto one_case : fixture_["cases"]) {
    one_case["name"] = one_case["strategy"];
    one_case["layers_per_token"] = nlohmann::json::array();
    one_case["logprobs"] = first_of(one_case["logprobs"], requests.size());
    for (auto& row : one_case["logprobs"]) row = first_of(row, kMostTokens);
    const auto layers = static_cast<double>(one_case["layers"].size());
    for (const ScoreRequest& request : requests) {
      LayersPerToken counts(request.continuation.size(), layers);
      counts[0] = model_->num_layers();
      one_case["layers_per_token"].push_back(counts);
    }
    expect_case(
        model_->decoder(), one_case, requests,
        one_case["strategy"] == "full" ? kLogProbTolerance : kToleranceOfTheDemoModelSkipping);
  }
}

}  // namespace
}  // namespace skipbench
