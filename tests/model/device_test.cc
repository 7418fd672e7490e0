// Whole models on the CUDA engine, emulated or real, beside the CPU: the committed fixtures and
// random models, with skipping, ragged batches and early exits. Sizes are those that the emulated
// device can run under ThreadSanitizer: at most 4 layers, hidden size 84, a few tokens.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "tests/devices.h"
#include "tests/model/fixtures.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

constexpr int kMostLayers = 4;

std::vector<ScoreOutput> score(LoadedDecoder& model, const std::vector<ScoreRequest>& requests,
                               const StrategySpec& spec) {
  return model.decoder().score(requests, *make_strategy(spec, model.num_layers()));
}

double largest_difference(const std::vector<ScoreOutput>& a, const std::vector<ScoreOutput>& b) {
  double largest = 0;
  for (size_t r = 0; r < a.size(); ++r) {
    for (size_t i = 0; i < a[r].log_probs.size(); ++i) {
      const double difference = std::fabs(a[r].log_probs[i] - b[r].log_probs[i]);
      largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
    }
  }
  return largest;
}

void expect_same(const std::vector<ScoreOutput>& got, const std::vector<ScoreOutput>& want,
                 const std::string& label) {
  ASSERT_EQ(got.size(), want.size()) << label;
  for (size_t r = 0; r < got.size(); ++r) {
    ASSERT_EQ(got[r].log_probs.size(), want[r].log_probs.size()) << label << ", request " << r;
    EXPECT_EQ(got[r].layers_per_token, want[r].layers_per_token) << label << ", request " << r;
  }
  EXPECT_LE(largest_difference(got, want), kLogProbTolerance) << label;
}

// What of a fixture's requests is run, as one ragged batch: prompts of 1 to 12 tokens (more than
// the windows of the models that have one), continuations of up to 3. `kept`: their numbers.
std::vector<ScoreRequest> short_requests(const nlohmann::json& fixture, std::vector<size_t>& kept) {
  std::vector<ScoreRequest> requests = requests_of(fixture);
  std::vector<ScoreRequest> short_ones;
  for (size_t r = 0; r < requests.size(); ++r) {
    if (requests[r].prompt.size() > 12) continue;
    requests[r].continuation.resize(std::min<size_t>(3, requests[r].continuation.size()));
    short_ones.push_back(std::move(requests[r]));
    kept.push_back(r);
  }
  return short_ones;
}

class DeviceFixtures : public testing::TestWithParam<FixtureOnDevice> {
 protected:
  void SetUp() override { skip_without(GetParam().device); }
};

TEST_P(DeviceFixtures, LogProbsAndLayersEqualTheCpuAndTransformers) {
  const nlohmann::json fixture = read_case(GetParam().fixture);
  const std::string path = (fixtures_folder() / fixture["model"].get<std::string>()).string();
  LoadedDecoder cpu(path, {.threads = 1});
  LoadedDecoder device(path, {.device = GetParam().device});
  std::vector<size_t> kept;
  const auto requests = short_requests(fixture, kept);
  for (const auto& one_case : fixture["cases"]) {
    const auto got = score(device, requests, spec_of(one_case));
    const std::string label = one_case["name"];
    expect_same(got, score(cpu, requests, spec_of(one_case)), label);
    for (size_t r = 0; r < got.size(); ++r) {
      const auto want = one_case["logprobs"][kept[r]].get<std::vector<double>>();
      for (size_t i = 0; i < got[r].log_probs.size(); ++i) {
        EXPECT_NEAR(got[r].log_probs[i], want[i], kLogProbTolerance) << label << ", request " << r;
      }
    }
  }
}

// Under sanitizers, which see every kernel by itself, each third of them.
std::vector<FixtureOnDevice> fixture_cases() {
  std::vector<FixtureOnDevice> cases;
  for (const char* device : {"emulated", "cuda"}) {
    int count = 0;
    for (const std::string& name : case_names()) {
      if (read_case(name)["num_layers"].get<int>() > kMostLayers) continue;
      if (!kSanitized || count % 3 == 0) cases.push_back({device, name});
      ++count;
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(, DeviceFixtures, testing::ValuesIn(fixture_cases()),
                         [](const testing::TestParamInfo<FixtureOnDevice>& test) {
                           return as_test_name(test.param.device + "_" + test.param.fixture);
                         });

// Random models, one per family, in the type that the test asks for.
class DeviceRandomModels : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    skip_without(GetParam());
    folder_ = std::filesystem::temp_directory_path() /
              ("skipbench-device-" + GetParam() + "-" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::vector<std::string> models(const std::string& dtype) const {
    const nlohmann::json bloom = {{"model_type", "bloom"}, {"vocab_size", 203}, {"hidden_size", 84},
                                  {"n_layer", 4},          {"n_head", 7},       {"dtype", dtype}};
    nlohmann::json llama = {{"model_type", "llama"},
                            {"vocab_size", 131},
                            {"hidden_size", 80},
                            {"num_hidden_layers", 4},
                            {"num_attention_heads", 10},
                            {"num_key_value_heads", 2},
                            {"intermediate_size", 76},
                            {"max_position_embeddings", 64},
                            {"tie_word_embeddings", false},
                            {"dtype", dtype}};
    nlohmann::json qwen3 = llama;
    qwen3["model_type"] = "qwen3";
    qwen3["head_dim"] = 40;
    qwen3["num_attention_heads"] = 3;
    qwen3["num_key_value_heads"] = 1;
    std::vector<std::string> specs;
    for (const nlohmann::json& config : {bloom, llama, qwen3}) {
      const auto path = folder_ / (config["model_type"].get<std::string>() + "-" + dtype + ".json");
      std::ofstream(path) << config;
      specs.push_back("synthetic:" + path.string() + ":11");
    }
    return specs;
  }

  // Calls `compare` with the CPU in f32, the CPU and the device in a half type, of each model in
  // that type.
  template <typename Compare>
  void with_half_types(const Compare& compare) const {
    for (const auto& [name, type] :
         {std::pair("float16", DType::kF16), std::pair("bfloat16", DType::kBF16)}) {
      for (const std::string& path : models(name)) {
        LoadedDecoder exact(path, {.threads = 1});
        LoadedDecoder cpu(path, {.dtype = type, .threads = 1});
        LoadedDecoder device(path, {.device = GetParam(), .dtype = type});
        compare(path, exact, cpu, device);
      }
    }
  }

 private:
  std::filesystem::path folder_;
};

INSTANTIATE_TEST_SUITE_P(, DeviceRandomModels, testing::Values("emulated", "cuda"),
                         [](const testing::TestParamInfo<std::string>& test) {
                           return test.param;
                         });

// `count` ragged requests; with 12 of them a prefill has more than 64 rows and a step more than 8,
// so that both ways of every operation are taken.
std::vector<ScoreRequest> random_requests(int count) {
  std::vector<ScoreRequest> requests;
  for (int i = 0; i < count; ++i) {
    ScoreRequest request;
    for (int t = 0; t < 1 + (7 * i + 5) % 12; ++t) request.prompt.push_back((31 * i + 7 * t) % 97);
    for (int t = 0; t < 1 + i % 3; ++t) request.continuation.push_back((5 * i + 11 * t) % 89);
    requests.push_back(std::move(request));
  }
  return requests;
}

std::vector<StrategySpec> fixed_strategies() {
  return {{.name = "full"},
          {.name = "unified", .target = 2},
          {.name = "random", .target = 1.5, .params = {{"per", {"step", ""}}}},
          {.name = "layers", .params = {{"attention", {"0,3", ""}}, {"mlp", {"1,3", ""}}}}};
}

TEST_P(DeviceRandomModels, LogProbsEqualTheCpuUnderEveryKindOfSkipping) {
  std::vector<StrategySpec> specs = fixed_strategies();
  for (const char* kv : {"project", "absent"}) {
    specs.push_back({.name = "early_exit",
                     .target = 2,
                     .params = {{"threshold", {"0.3", ""}}, {"kv", {kv, ""}}}});
  }
  for (const std::string& path : models("float32")) {
    LoadedDecoder cpu(path, {.threads = 1});
    LoadedDecoder device(path, {.device = GetParam()});
    for (const StrategySpec& spec : specs) {
      for (const int count : {2, 12}) {
        const auto requests = random_requests(count);
        expect_same(score(device, requests, spec), score(cpu, requests, spec),
                    path + " " + spec.name + ", batch " + std::to_string(count));
      }
    }
  }
}

// Half types round every activation, so two engines differ by as much as each differs from f32:
// the CPU's own distance says how much that is for this model.
TEST_P(DeviceRandomModels, HalfPrecisionIsAsNearToF32AsTheCpus) {
  const auto requests = random_requests(12);
  with_half_types([&](const std::string& path, LoadedDecoder& exact, LoadedDecoder& cpu,
                      LoadedDecoder& device) {
    for (const StrategySpec& spec : fixed_strategies()) {
      const auto want = score(exact, requests, spec);
      const double cpu_distance = largest_difference(score(cpu, requests, spec), want);
      const auto got = score(device, requests, spec);
      EXPECT_GT(cpu_distance, 0);
      EXPECT_LE(largest_difference(got, want), 3 * cpu_distance) << path << " " << spec.name;
    }
  });
}

// Weights that never were on the host: the same bits as those that were.
TEST_P(DeviceRandomModels, WeightsMadeOnTheDeviceAreTheHosts) {
  const auto requests = random_requests(3);
  const std::vector<StrategySpec> specs = {
      {.name = "full"},
      {.name = "early_exit", .target = 2, .params = {{"threshold", {"0.01", ""}}}}};
  for (const auto& [name, type] :
       {std::pair("float32", DType::kF32), std::pair("float16", DType::kF16),
        std::pair("bfloat16", DType::kBF16)}) {
    for (const std::string& path : models(name)) {
      LoadedDecoder uploaded(path, {.device = GetParam(), .dtype = type});
      LoadedDecoder made("device-" + path, {.device = GetParam(), .dtype = type});
      for (const StrategySpec& spec : specs) {
        const auto want = score(uploaded, requests, spec);
        const auto got = score(made, requests, spec);
        EXPECT_EQ(largest_difference(got, want), 0) << path << " " << spec.name;
      }
      EXPECT_THROW(LoadedDecoder("device-" + path, {.threads = 1}), Error);
    }
  }
}

TEST_P(DeviceRandomModels, GreedyTokensEqualTheCpus) {
  std::vector<TokenIds> prompts;
  for (ScoreRequest& request : random_requests(3)) prompts.push_back(std::move(request.prompt));
  for (const std::string& path : models("float32")) {
    LoadedDecoder cpu(path, {.threads = 1});
    LoadedDecoder device(path, {.device = GetParam()});
    for (const StrategySpec& spec : fixed_strategies()) {
      const auto strategy = make_strategy(spec, kMostLayers);
      const auto want = cpu.decoder().generate(prompts, *strategy, {.max_new_tokens = 4});
      const auto got = device.decoder().generate(prompts, *strategy, {.max_new_tokens = 4});
      for (size_t i = 0; i < prompts.size(); ++i) {
        EXPECT_EQ(got.outputs[i].tokens, want.outputs[i].tokens) << path << " " << spec.name;
        EXPECT_EQ(got.outputs[i].layers_per_token, want.outputs[i].layers_per_token);
      }
    }
  }
}

// The texts of a batch of beam searches, and what is made of them.
std::vector<GenerateOutput> search(LoadedDecoder& model, const std::vector<TokenIds>& prompts,
                                   const StrategySpec& spec, int beams, int new_tokens) {
  const auto strategy = make_strategy(spec, model.num_layers());
  GenerateOptions options{.max_new_tokens = new_tokens};
  options.beams.beams = beams;
  return model.decoder().generate(prompts, *strategy, options).outputs;
}

TEST_P(DeviceRandomModels, BeamsEqualTheCpusUnderEveryKindOfSkipping) {
  std::vector<StrategySpec> specs = fixed_strategies();
  // Sets of three layers may grow, so the cache has holes, and says where.
  specs.push_back({.name = "random", .target = 1.25, .params = {{"per", {"step", ""}}}});
  for (const std::string& path : models("float32")) {
    LoadedDecoder cpu(path, {.threads = 1});
    LoadedDecoder device(path, {.device = GetParam()});
    const std::vector<TokenIds> prompts = ragged_prompts(3);
    for (const StrategySpec& spec : specs) {
      const auto want = search(cpu, prompts, spec, 4, 5);
      const auto got = search(device, prompts, spec, 4, 5);
      for (size_t i = 0; i < prompts.size(); ++i) {
        EXPECT_EQ(got[i].tokens, want[i].tokens) << path << " " << spec.name;
        EXPECT_EQ(got[i].layers_per_token, want[i].layers_per_token) << path << " " << spec.name;
      }
    }
  }
}

// In half precision near beams may change places, so the texts of each engine are compared with
// those in f32.
TEST_P(DeviceRandomModels, BeamsInHalfPrecisionAreAsNearToF32AsTheCpus) {
  const std::vector<TokenIds> prompts = ragged_prompts(8);
  with_half_types([&](const std::string& path, LoadedDecoder& exact, LoadedDecoder& cpu,
                      LoadedDecoder& device) {
    const auto want = search(exact, prompts, {.name = "full"}, 4, 5);
    const auto near = search(cpu, prompts, {.name = "full"}, 4, 5);
    const auto got = search(device, prompts, {.name = "full"}, 4, 5);
    int same = 0, same_on_cpu = 0;
    for (size_t i = 0; i < prompts.size(); ++i) {
      same += got[i].tokens == want[i].tokens ? 1 : 0;
      same_on_cpu += near[i].tokens == want[i].tokens ? 1 : 0;
    }
    EXPECT_GE(same, same_on_cpu - 2) << path;
    EXPECT_GE(same_on_cpu, 6) << path;
  });
}

// Steps of more rows than a prompt may have before it is worked on in tiles.
TEST_P(DeviceRandomModels, ManyBeamsEqualTheCpus) {
  const std::string path = (fixtures_folder() / "models" / "llama-untied").string();
  LoadedDecoder cpu(path, {.threads = 1});
  LoadedDecoder device(path, {.device = GetParam()});
  const std::vector<TokenIds> prompts = ragged_prompts(9);
  const auto want = search(cpu, prompts, {.name = "full"}, 8, 5);
  const auto got = search(device, prompts, {.name = "full"}, 8, 5);
  for (size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(got[i].tokens, want[i].tokens) << i;
}

#ifdef SKIPBENCH_WITH_CUDA
TEST(CudaDevice, IsThereOrIsSaidToBeMissing) {
  const std::string missing = why_not("cuda");
  if (gpu_is_required("cuda")) {
    EXPECT_EQ(missing, "");
  } else if (!missing.empty()) {
    EXPECT_NE(missing.find("no CUDA device"), std::string::npos) << missing;
    EXPECT_NE(missing.find("use --device cpu"), std::string::npos) << missing;
  }
}
#endif

}  // namespace
}  // namespace skipbench
