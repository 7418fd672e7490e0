// Steps that a device runs by itself, recorded and replayed or queued operation by operation: the
// CPU's tokens and layers, whoever finishes when.
#include "engine/device_steps.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/devices.h"
#include "tests/model/fixtures.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

constexpr const char* kLlama = "models/llama-untied";
constexpr const char* kBloom = "models/bloom-7layers";

std::vector<StrategySpec> fixed_strategies(int num_layers) {
  std::vector<StrategySpec> specs = {{.name = "full"}};
  if (num_layers < 4) return specs;
  specs.push_back({.name = "unified", .target = 2});
  specs.push_back({.name = "skip_decode", .target = 1.5});
  specs.push_back({.name = "random", .target = 1.5, .params = {{"per", {"step", ""}}}});
  specs.push_back({.name = "layers", .params = {{"attention", {"0,3", ""}}, {"mlp", {"1,3", ""}}}});
  return specs;
}

class DeviceStepsOn : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { skip_without(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(, DeviceStepsOn, testing::Values("emulated", "cuda"),
                         [](const testing::TestParamInfo<std::string>& test) {
                           return test.param;
                         });

void expect_same(const GenerateResult& got, const GenerateResult& want, const std::string& label) {
  ASSERT_EQ(got.outputs.size(), want.outputs.size());
  for (size_t i = 0; i < got.outputs.size(); ++i) {
    EXPECT_EQ(got.outputs[i].tokens, want.outputs[i].tokens) << label << ", row " << i;
    EXPECT_EQ(got.outputs[i].layers_per_token, want.outputs[i].layers_per_token) << label;
  }
  EXPECT_EQ(got.timings.decode_tokens, want.timings.decode_tokens) << label;
  EXPECT_EQ(got.timings.step_us.size(), want.timings.step_us.size()) << label;
  EXPECT_EQ(got.timings.kv_cache_bytes, want.timings.kv_cache_bytes) << label;
}

// Three times each: queued, recorded, replayed; then without recordings. In turns with the other
// strategies, whose caches come and go.
void expect_replays_equal_the_cpus(const char* name, const std::string& device_name) {
  const std::string path = (fixtures_folder() / name).string();
  LoadedDecoder cpu(path, {.threads = 1});
  LoadedDecoder device(path, {.device = device_name});
  for (const int batch : {1, 3, 9}) {
    if (kSanitized && batch == 3) continue;
    const auto prompts = ragged_prompts(batch);
    for (int round = 0; round < 4; ++round) {
      for (const StrategySpec& spec : fixed_strategies(device.num_layers())) {
        const auto strategy = make_strategy(spec, device.num_layers());
        GenerateOptions options{.max_new_tokens = 4};
        const auto want = cpu.decoder().generate(prompts, *strategy, options);
        options.record_steps = round < 3;
        const auto got = device.decoder().generate(prompts, *strategy, options);
        expect_same(
            got, want,
            spec.name + ", batch " + std::to_string(batch) + ", round " + std::to_string(round));
      }
    }
  }
  const Recordings& recordings = device.decoder().device_steps()->recordings();
  EXPECT_GT(recordings.recorded(), 0);
  EXPECT_GT(recordings.replayed(), recordings.recorded());
}

TEST_P(DeviceStepsOn, ReplayedStepsOfLlamaEqualQueuedOnesAndTheCpus) {
  expect_replays_equal_the_cpus(kLlama, GetParam());
}

TEST_P(DeviceStepsOn, ReplayedStepsOfBloomEqualQueuedOnesAndTheCpus) {
  expect_replays_equal_the_cpus(kBloom, GetParam());
}

// Exits that the device decides, at several thresholds, so that rows exit at different layers, all
// at one or none. The last round leaves the decision to the host.
TEST_P(DeviceStepsOn, ExitsDecidedByTheDeviceAreTheCpus) {
  const std::string path = (fixtures_folder() / kLlama).string();
  LoadedDecoder cpu(path, {.threads = 1});
  LoadedDecoder device(path, {.device = GetParam()});
  std::set<double> depths;
  const auto run = [&](const char* signal, const char* threshold, const char* interval) {
    const StrategySpec spec{.name = "early_exit",
                            .target = 2,
                            .params = {{"threshold", {threshold, ""}},
                                       {"signal", {signal, ""}},
                                       {"exit_interval", {interval, ""}}}};
    const auto strategy = make_strategy(spec, device.num_layers());
    ASSERT_TRUE(DeviceSteps::takes(*strategy, device.num_layers()));
    for (int round = 0; round < 4; ++round) {
      // Twice the same batch, so that the second replays from its first step.
      const auto prompts = ragged_prompts(round < 2 ? 5 : 1);
      GenerateOptions options{.max_new_tokens = 5};
      const auto want = cpu.decoder().generate(prompts, *strategy, options);
      options.record_steps = round < 3;
      const auto got = device.decoder().generate(prompts, *strategy, options);
      expect_same(got, want, std::string(signal) + " " + threshold);
      EXPECT_EQ(got.timings.exit_tests, want.timings.exit_tests);
      // A threshold of 1 tests nothing.
      EXPECT_EQ(got.timings.exit_test_us > 0, got.timings.exit_tests > 0);
      EXPECT_LT(got.timings.exit_test_us, got.timings.decode_us);
      for (const GenerateOutput& output : got.outputs) {
        depths.insert(output.layers_per_token.begin() + 1, output.layers_per_token.end());
      }
    }
  };
  run("softmax_difference", "0", "1");
  run("softmax_difference", "0.1", "1");
  run("softmax_difference", "1", "1");
  run("entropy", "0.2", "1");
  run("entropy", "0.2", "2");
  EXPECT_EQ(depths, (std::set<double>{1, 2, 3, 4}));
  EXPECT_GT(device.decoder().device_steps()->recordings().replayed(), 0);
}

// Ids that end some rows early, a stop function that ends one, and lengths of one and two tokens.
TEST_P(DeviceStepsOn, RowsThatFinishLeaveTheBatch) {
  const std::string path = (fixtures_folder() / kLlama).string();
  LoadedDecoder cpu(path, {.threads = 1});
  LoadedDecoder device(path, {.device = GetParam()});
  const auto prompts = ragged_prompts(5);
  const auto full = make_strategy({.name = "full"}, device.num_layers());
  const auto free_run = cpu.decoder().generate(prompts, *full, {.max_new_tokens = 7});

  std::vector<GenerateOptions> cases(4);
  cases[0].max_new_tokens = 1;
  cases[1].max_new_tokens = 2;
  cases[2].max_new_tokens = 7;  // ends: what row 0 makes third and row 3 makes fifth
  cases[2].end_of_text_ids = {free_run.outputs[0].tokens[2], free_run.outputs[3].tokens[4]};
  cases[3].max_new_tokens = 7;
  cases[3].stop = [](size_t row, std::span<const int32_t> tokens) {
    return tokens.size() == (row == 1 ? 2 : row == 2 ? 3 : 5);
  };
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < cases.size(); ++i) {
      const auto want = cpu.decoder().generate(prompts, *full, cases[i]);
      const auto got = device.decoder().generate(prompts, *full, cases[i]);
      expect_same(got, want, "case " + std::to_string(i));
    }
  }
}

// A stop function that throws (^C) leaves steps queued; the next batch is not disturbed.
TEST_P(DeviceStepsOn, ABatchThatIsLeftDoesNotDisturbTheNext) {
  const std::string path = (fixtures_folder() / kLlama).string();
  LoadedDecoder cpu(path, {.threads = 1});
  LoadedDecoder device(path, {.device = GetParam()});
  const auto full = make_strategy({.name = "full"}, device.num_layers());
  GenerateOptions options{.max_new_tokens = 6};
  options.stop = [](size_t, std::span<const int32_t> tokens) -> bool {
    if (tokens.size() == 3) throw std::runtime_error("left");
    return false;
  };
  EXPECT_THROW(device.decoder().generate(ragged_prompts(3), *full, options), std::runtime_error);
  options.stop = nullptr;
  expect_same(device.decoder().generate(ragged_prompts(2), *full, options),
              cpu.decoder().generate(ragged_prompts(2), *full, options), "after");
}

}  // namespace
}  // namespace skipbench
