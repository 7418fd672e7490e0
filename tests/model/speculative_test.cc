// self_speculative gives the tokens of `full`, whatever is drafted.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <random>

#include "tests/model/fixtures.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

StrategySpec speculative(double target, StrategyParams params = {}) {
  return {.name = "self_speculative", .target = target, .params = std::move(params)};
}

std::vector<TokenIds> random_prompts(int count, int vocab, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<TokenIds> prompts(static_cast<size_t>(count));
  for (TokenIds& prompt : prompts) {
    prompt.resize(1 + random() % 19);
    for (int32_t& token : prompt) token = static_cast<int32_t>(random() % vocab);
  }
  return prompts;
}

void expect_consistent(const GenerateOutput& output, double full_layers, double draft_layers) {
  EXPECT_LE(output.accepted, output.drafted);
  // Each check makes one token of its own; the last ones of a text may have been cut off.
  const int64_t decoded = std::ssize(output.tokens) - 1;
  EXPECT_LE(decoded, output.accepted + output.verify_calls);
  ASSERT_EQ(output.layers_per_token.size(), output.tokens.size());
  const double sum =
      std::accumulate(output.layers_per_token.begin() + 1, output.layers_per_token.end(), 0.0);
  const auto drafted = static_cast<double>(output.drafted);
  const double ran =
      drafted * draft_layers + (drafted + static_cast<double>(output.verify_calls)) * full_layers;
  EXPECT_NEAR(sum, ran, 1e-9 * ran + 1e-12);
}

TEST(SelfSpeculative, GivesTheTokensOfFullOnEveryFamily) {
  for (const char* name : {"bloom-7layers", "bloom-f16", "llama-bf16-sharded", "mistral-window",
                           "qwen2-window", "qwen3", "llama-q4_1-tied.gguf"}) {
    LoadedDecoder model((fixtures_folder() / "models" / name).string(), {.threads = 2});
    const int n = model.num_layers();
    const int texts = kSanitized ? 9 : 64;
    const auto prompts = random_prompts(texts, model.loaded().config.vocab_size, 11);
    const GenerateOptions options{.max_new_tokens = 23};
    const auto want =
        model.decoder().generate(prompts, *make_strategy({.name = "full"}, n), options).outputs;
    for (const double target : {1.0, 1.5, 2.0}) {
      if (target > std::max(1.0, n / 2.0)) continue;
      for (const char* most : {"1", "3", "16"}) {
        const auto strategy =
            make_strategy(speculative(target, {{"most_drafted", {most, "test"}}}), n);
        const GenerateResult got = model.decoder().generate(prompts, *strategy, options);
        int64_t drafted = 0, accepted = 0;
        for (size_t i = 0; i < prompts.size(); ++i) {
          ASSERT_EQ(got.outputs[i].tokens, want[i].tokens) << name << " " << target << " " << most;
          expect_consistent(got.outputs[i], n, strategy->speculation()->draft.layers());
          drafted += got.outputs[i].drafted;
          accepted += got.outputs[i].accepted;
        }
        EXPECT_EQ(got.timings.drafted, drafted);
        EXPECT_EQ(got.timings.accepted, accepted);
        EXPECT_EQ(got.timings.decode_tokens, texts * 22);
        // All layers draft what they check.
        if (target == 1.0) {
          EXPECT_EQ(accepted, drafted) << name;
        }
      }
    }
  }
}

TEST(SelfSpeculative, ARowIsTheSameAloneAndInABatch) {
  LoadedDecoder model((fixtures_folder() / "models" / "bloom-7layers").string(), {.threads = 1});
  const auto prompts = random_prompts(9, 97, 5);
  const auto strategy = make_strategy(speculative(2, {{"stop_below", {"0.4", "test"}}}), 7);
  const GenerateOptions options{.max_new_tokens = 30};
  const auto batched = model.decoder().generate(prompts, *strategy, options).outputs;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto alone =
        model.decoder().generate(std::span(prompts).subspan(i, 1), *strategy, options).outputs[0];
    EXPECT_EQ(alone.tokens, batched[i].tokens);
    EXPECT_EQ(alone.layers_per_token, batched[i].layers_per_token);
    EXPECT_EQ(alone.drafted, batched[i].drafted);
    EXPECT_EQ(alone.verify_calls, batched[i].verify_calls);
  }
}

// LayerSkip's first layers, and lists of layers and of sublayers as a search finds them.
TEST(SelfSpeculative, GivesTheTokensOfFullWhateverDrafts) {
  const std::vector<StrategyParams> drafts = {
      {{"draft", {"unified", ""}}, {"spacing", {"even", ""}}},
      {{"draft", {"fixed_exit", ""}}},
      {{"draft", {"layers", ""}}, {"layers", {"0,2", ""}}},
      {{"draft", {"layers", ""}}, {"attention", {"0,2", ""}}, {"mlp", {"1-2", ""}}},
      {{"draft", {"layers", ""}}, {"attention", {"", ""}}, {"mlp", {"0", ""}}}};
  for (const char* name : {"bloom-7layers", "qwen3", "llama-q4_1-tied.gguf"}) {
    LoadedDecoder model((fixtures_folder() / "models" / name).string(), {.threads = 2});
    const int n = model.num_layers();
    const auto prompts = random_prompts(24, model.loaded().config.vocab_size, 3);
    for (const double temperature : {0.0, 4.0}) {
      const GenerateOptions options{.max_new_tokens = 19,
                                    .sampling = {.temperature = temperature, .seed = 6}};
      const auto want =
          model.decoder().generate(prompts, *make_strategy({.name = "full"}, n), options).outputs;
      for (const StrategyParams& params : drafts) {
        const auto strategy = make_strategy(speculative(std::min(2.0, n / 2.0), params), n);
        const auto got = model.decoder().generate(prompts, *strategy, options).outputs;
        for (size_t i = 0; i < prompts.size(); ++i) {
          ASSERT_EQ(got[i].tokens, want[i].tokens) << name << " " << params.begin()->second.text;
          EXPECT_GT(got[i].drafted, 0);
          expect_consistent(got[i], n, strategy->speculation()->draft.layers());
        }
      }
    }
  }
}

TEST(SelfSpeculative, EndsWhereFullEnds) {
  LoadedDecoder model((fixtures_folder() / "models" / "qwen3").string(), {.threads = 1});
  const auto prompts = random_prompts(16, 71, 8);
  const auto full = make_strategy({.name = "full"}, 5);
  const auto strategy = make_strategy(speculative(1), 5);  // long accepted drafts
  GenerateOptions options{.max_new_tokens = 40};
  const auto endless = model.decoder().generate(prompts, *full, options).outputs;
  options.end_of_text_ids = {endless[0].tokens[7], endless[1].tokens[11]};
  options.stop = [&](size_t row, std::span<const int32_t> tokens) {
    return row % 4 == 3 && tokens.size() == 6;
  };
  for (const int most : {1, 2, 13, 40}) {
    options.max_new_tokens = most;
    const auto want = model.decoder().generate(prompts, *full, options).outputs;
    const auto got = model.decoder().generate(prompts, *strategy, options).outputs;
    for (size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(got[i].tokens, want[i].tokens) << most;
  }
}

TEST(SelfSpeculative, TheDraftGrowsWithWhatIsAccepted) {
  LoadedDecoder model((fixtures_folder() / "models" / "bloom-7layers").string(), {.threads = 1});
  const std::vector<TokenIds> prompts = {{1, 2, 3}};
  const auto strategy = make_strategy(
      speculative(1, {{"most_drafted", {"7", "test"}}, {"first_drafted", {"2", "test"}}}), 7);
  // Rounds of 2, 4, 6, 7, 7 drafted tokens and one more each: 31 tokens after the prompt's.
  const auto output =
      model.decoder().generate(prompts, *strategy, {.max_new_tokens = 32}).outputs[0];
  EXPECT_EQ(output.verify_calls, 5);
  EXPECT_EQ(output.drafted, 26);
  EXPECT_EQ(output.accepted, 26);
}

// Under sanitizers the real model takes minutes: they see a part of it, and the small models whole.
constexpr size_t kPromptsUsed = kSanitized ? 2 : 64;
constexpr int kNewTokensUsed = kSanitized ? 4 : 12;

TEST(SelfSpeculative, DemoModelOn64Prompts) {
  const auto folder = std::filesystem::path(SKIPBENCH_SOURCE_DIR) / "models" / "smollm2-135m";
  if (!std::filesystem::exists(folder))
    GTEST_SKIP() << "no demo model: scripts/fetch_model smollm2";
  std::ifstream file(fixtures_folder() / "smollm2_greedy.json");
  std::vector<TokenIds> prompts;
  const auto fixture = nlohmann::json::parse(file);
  for (const auto& text : fixture["greedy"]) {
    prompts.push_back(text["prompt"].get<TokenIds>());
    TokenIds half = prompts.back();
    half.resize((half.size() + 1) / 2);
    prompts.push_back(std::move(half));
  }
  ASSERT_EQ(prompts.size(), 64u);
  prompts.resize(kPromptsUsed);
  LoadedDecoder model(folder.string(), {});
  const GenerateOptions options{.max_new_tokens = kNewTokensUsed};
  const auto full = make_strategy({.name = "full"}, model.num_layers());
  const auto strategy = make_strategy(speculative(1.5), model.num_layers());
  for (size_t begin = 0; begin < prompts.size(); begin += 16) {
    const auto part =
        std::span(prompts).subspan(begin, std::min<size_t>(16, prompts.size() - begin));
    const auto want = model.decoder().generate(part, *full, options).outputs;
    const auto got = model.decoder().generate(part, *strategy, options).outputs;
    for (size_t i = 0; i < part.size(); ++i) {
      EXPECT_EQ(got[i].tokens, want[i].tokens) << "prompt " << begin + i;
    }
  }
}

}  // namespace
}  // namespace skipbench
