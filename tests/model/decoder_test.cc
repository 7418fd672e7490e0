#include "engine/decoder.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "tests/model/fixtures.h"

namespace skipbench {
namespace {

class DecoderTest : public testing::Test {
 protected:
  GenerateResult generate(const std::vector<TokenIds>& prompts, const GenerateOptions& options,
                          const StrategySpec& spec = {.name = "full"}) {
    return model_.decoder().generate(prompts, *make_strategy(spec, model_.num_layers()), options);
  }

  LoadedDecoder model_{(fixtures_folder() / "models" / "bloom-7layers").string(), {.threads = 2}};
};

TEST_F(DecoderTest, EntriesOfLayersPerTokenAreAsManyAsTokens) {
  const GenerateResult result =
      generate({{1, 2}, {3}}, {.max_new_tokens = 5}, {.name = "unified", .target = 3.5});
  for (const GenerateOutput& output : result.outputs) {
    EXPECT_EQ(output.tokens.size(), 5);
    EXPECT_EQ(output.layers_per_token, (LayersPerToken{7, 2, 2, 2, 2}));
  }
  EXPECT_EQ(result.timings.step_us.size(), 4);
  EXPECT_EQ(result.timings.prompt_tokens, 3);
  EXPECT_EQ(result.timings.decode_tokens, 8);
}

TEST_F(DecoderTest, EndOfTextEndsARowAndIsPartOfIt) {
  const std::vector<TokenIds> prompts = {{1, 2}, {3}};
  const TokenIds forced = generate(prompts, {.max_new_tokens = 6}).outputs[0].tokens;
  const auto all = generate(prompts, {.max_new_tokens = 6});
  const GenerateResult ended =
      generate(prompts, {.max_new_tokens = 6, .end_of_text_ids = {forced[2]}});
  const auto first = std::find(forced.begin(), forced.end(), forced[2]);
  EXPECT_EQ(ended.outputs[0].tokens, TokenIds(forced.begin(), first + 1));
  // The other row goes on as it would alone.
  const TokenIds& other = all.outputs[1].tokens;
  const auto other_end = std::find(other.begin(), other.end(), forced[2]);
  EXPECT_EQ(ended.outputs[1].tokens,
            TokenIds(other.begin(), other_end == other.end() ? other_end : other_end + 1));
}

TEST_F(DecoderTest, AStopFunctionEndsOneRowOnly) {
  const GenerateResult result =
      generate({{1, 2}, {3}, {5, 6, 7}},
               {.max_new_tokens = 6, .stop = [](size_t row, std::span<const int32_t> tokens) {
                  return row == 1 && tokens.size() == 2;
                }});
  EXPECT_EQ(result.outputs[0].tokens.size(), 6);
  EXPECT_EQ(result.outputs[1].tokens.size(), 2);
  EXPECT_EQ(result.outputs[2].tokens.size(), 6);
  EXPECT_EQ(result.timings.decode_tokens, 5 + 1 + 5);
}

TEST_F(DecoderTest, LayersThatNoStepReadsGetNoCacheMemory) {
  const std::vector<TokenIds> prompts = {{1, 2, 3}};
  const auto bytes = [&](const StrategySpec& spec) {
    return generate(prompts, {.max_new_tokens = 4}, spec).timings.kv_cache_bytes;
  };
  const ModelConfig& config = model_.loaded().config;
  const int64_t layer_bytes = 2LL * config.num_kv_heads * config.head_dim * (3 + 4 - 1) * 4;
  EXPECT_EQ(bytes({.name = "full"}), 7 * layer_bytes);
  // Two kept layers and the transient one of the prefill.
  EXPECT_EQ(bytes({.name = "unified", .target = 3.5}), 3 * layer_bytes);
  const StrategyParams order = {{"order", {"1,2,3,4", "test"}}};
  // Pruned layers do not even have the transient one.
  EXPECT_EQ(bytes({.name = "static_pruning", .target = 2, .params = order}), 3 * layer_bytes);
  // Sets that can grow again: every layer, and a byte of presence for each of its slots.
  EXPECT_EQ(bytes({.name = "random", .target = 2, .params = {{"per", {"step", "test"}}}}),
            7 * (layer_bytes + 3 + 4 - 1));
}

TEST_F(DecoderTest, WrongInputIsRefused) {
  EXPECT_THROW(generate({{1}, {}}, {.max_new_tokens = 2}), Error);
  EXPECT_THROW(generate({{-1}}, {.max_new_tokens = 2}), Error);
  EXPECT_THROW(generate({{model_.loaded().config.vocab_size}}, {.max_new_tokens = 2}), Error);
  EXPECT_THROW(generate({{1}}, {.max_new_tokens = 0}), Error);
  const std::vector<ScoreRequest> no_continuation = {{{1}, {}}};
  EXPECT_THROW(model_.decoder().score(no_continuation, *make_strategy({.name = "full"}, 7)), Error);
  EXPECT_TRUE(generate({}, {.max_new_tokens = 2}).outputs.empty());
}

// f16 and bf16 activations and cache: the same model within the type's precision.
TEST_F(DecoderTest, HalfPrecisionActivationsStayNearF32) {
  const auto requests = requests_of(read_case("bloom-7layers"));
  const auto full = make_strategy({.name = "full"}, 7);
  const auto want = model_.decoder().score(requests, *full);
  for (const auto& [dtype, tolerance] :
       {std::pair(DType::kF16, 0.1), std::pair(DType::kBF16, 0.8)}) {
    LoadedDecoder half(model_.loaded().path, {.dtype = dtype, .threads = 1});
    const auto got = half.decoder().score(requests, *full);
    double worst = 0;
    for (size_t r = 0; r < requests.size(); ++r) {
      for (size_t i = 0; i < want[r].log_probs.size(); ++i) {
        worst = std::max(worst, std::abs(got[r].log_probs[i] - want[r].log_probs[i]));
      }
    }
    EXPECT_LT(worst, tolerance) << dtype_name(dtype);
    EXPECT_GT(worst, 0) << dtype_name(dtype);  // the type is really used
  }
}

}  // namespace
}  // namespace skipbench
