// Every architecture from GGUF files, block types, RoPE keys, and what is refused.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/base/error.h"
#include "engine/weights/load.h"
#include "tests/weights/expect_tensors.h"
#include "tests/weights/model_writer.h"

namespace skipbench {
namespace {

using test::bloom_gguf;
using test::expect_matrix;
using test::expect_vector;
using test::llama_gguf;
using test::load_error;
using test::TempFolder;
using test::TinyShape;

TEST(LoadGgufTest, LlamaAndBlockTypes) {
  TinyShape s{.layers = 1,
              .hidden = 64,
              .heads = 4,
              .kv_heads = 2,
              .head_dim = 16,
              .intermediate = 96,
              .vocab = 7};
  for (const DType type :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1}) {
    const TempFolder folder;
    const std::string path = folder.write("m.gguf", llama_gguf(s, "llama", type).bytes());
    const LoadedModel model = load_model(path);
    EXPECT_TRUE(model.config.rope.interleaved);
    EXPECT_TRUE(model.config.tied_head);
    EXPECT_EQ(model.config.max_positions, 64);
    EXPECT_EQ(model.config.end_of_text_ids, (std::vector<int32_t>{2, 5}));
    EXPECT_EQ(model.config.begin_of_text_id, 1);
    const Weight& down = model.weights.layers.at(0).down.parts.at(0);
    EXPECT_EQ(down.type, type);
    EXPECT_EQ(down.rows, s.hidden);
    EXPECT_EQ(down.cols, s.intermediate);
    const std::string want =
        test::tensor_bytes({"blk.0.ffn_down.weight", {s.hidden, s.intermediate}, type});
    ASSERT_EQ(down.bytes(), static_cast<int64_t>(want.size()));
    EXPECT_EQ(std::memcmp(down.data, want.data(), want.size()), 0);
    expect_vector(model.weights.layers.at(0).mlp_norm.gain, {"blk.0.ffn_norm.weight"}, {s.hidden});
    // The folder that holds it is the same model.
    EXPECT_EQ(model_hash(load_model(folder.path())), model_hash(model));
  }
}

TEST(LoadGgufTest, QwenAndBloom) {
  const TempFolder folder;
  const TinyShape s;
  LoadedModel model = load_model(folder.write("a.gguf", llama_gguf(s, "qwen2").bytes()));
  EXPECT_FALSE(model.config.rope.interleaved);
  expect_vector(model.weights.layers.at(1).qkv.bias,
                {"blk.1.attn_q.bias", "blk.1.attn_k.bias", "blk.1.attn_v.bias"},
                {s.heads * s.head_dim, s.kv_heads * s.head_dim, s.kv_heads * s.head_dim});
  model = load_model(folder.write("b.gguf", llama_gguf(s, "qwen3").bytes()));
  EXPECT_TRUE(model.config.qk_norm);
  expect_vector(model.weights.layers.at(0).key_norm.gain, {"blk.0.attn_k_norm.weight"},
                {s.head_dim});
  model = load_model(folder.write("c.gguf", bloom_gguf(s).bytes()));
  EXPECT_EQ(model.config.qkv_layout, QkvLayout::kSeparate);
  EXPECT_EQ(model.config.position, PositionKind::kAlibi);
  EXPECT_EQ(model.config.max_positions, 0);
  EXPECT_NEAR(model.config.norm_epsilon, 1e-5, 1e-10);
  ASSERT_EQ(model.weights.layers.at(0).qkv.parts.size(), 1u);
  expect_matrix(model.weights.layers.at(0).qkv.parts[0], "blk.0.attn_qkv.weight", 3 * s.hidden,
                s.hidden);
  expect_vector(model.weights.embedding_norm.bias, {"token_embd_norm.bias"}, {s.hidden});
  EXPECT_NE(load_error(folder.path()).find("several GGUF files"), std::string::npos);
}

TEST(LoadGgufTest, RopeFactorsAndScaling) {
  const TempFolder folder;
  TinyShape s;
  s.head_dim = 8;
  // Factors 1.25, 1.5, ...: any positive numbers, as the converter writes for Llama 3.
  auto writer = llama_gguf(s, "llama");
  writer.u32("llama.rope.dimension_count", 8);
  writer.tensor({"rope_freqs.weight", {4}});
  std::string bytes = writer.bytes();
  const std::string cells = test::tensor_bytes({"rope_freqs.weight", {4}});
  const float factors[] = {1.25f, 1.5f, 8.0f, 2.0f};
  bytes.replace(bytes.rfind(cells), sizeof(factors), reinterpret_cast<const char*>(factors),
                sizeof(factors));
  LoadedModel model = load_model(folder.write("m.gguf", bytes));
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(model.config.rope.inverse_frequencies.at(i),
                std::pow(10000.0, -i / 4.0) / factors[i], 1e-12);
  }
  bytes = llama_gguf(s, "llama")
              .text("llama.rope.scaling.type", "linear")
              .f32("llama.rope.scaling.factor", 4.0f)
              .bytes();
  model = load_model(folder.write("m.gguf", bytes));
  EXPECT_DOUBLE_EQ(model.config.rope.inverse_frequencies.at(0), 0.25);
  bytes = llama_gguf(s, "llama")
              .text("llama.rope.scaling.type", "yarn")
              .f32("llama.rope.scaling.factor", 4.0f)
              .u32("llama.rope.scaling.original_context_length", 16)
              .bytes();
  model = load_model(folder.write("m.gguf", bytes));
  EXPECT_NEAR(model.config.rope.attention_factor, 0.1 * std::log(4.0) + 1, 1e-12);
  bytes = llama_gguf(s, "llama").text("llama.rope.scaling.type", "longrope").bytes();
  EXPECT_NE(load_error(folder.write("m.gguf", bytes)).find("unknown RoPE scaling type 'longrope'"),
            std::string::npos);
}

TEST(LoadGgufTest, RefusesWhatItDoesNotDo) {
  const TempFolder folder;
  const TinyShape s;
  const auto message = [&](const test::GgufWriter& writer) {
    return load_error(folder.write("m.gguf", writer.bytes()));
  };
  const auto expect = [&](const test::GgufWriter& writer, const std::string& part) {
    const std::string text = message(writer);
    EXPECT_NE(text.find(part), std::string::npos) << text;
    EXPECT_NE(text.find(folder.path("m.gguf")), std::string::npos) << text;
  };
  expect(llama_gguf(s, "llama").u32("llama.expert_count", 8), "llama.expert_count");
  expect(llama_gguf(s, "llama").f32("llama.logit_scale", 2), "llama.logit_scale");
  expect(llama_gguf(s, "llama").u32("llama.rope.dimension_count", 2), "partial rotary");
  expect(llama_gguf(s, "qwen2").u32("qwen2.attention.sliding_window", 8), "sliding_window");
  expect(llama_gguf(s, "gemma2"), "unknown architecture 'gemma2'");
  expect(llama_gguf(s, "llama").u32("split.count", 2), "split");
  expect(llama_gguf(s, "llama").tensor({"blk.0.attn_sinks.weight", {3}}), "blk.0.attn_sinks");
  // A tensor of a type that is not read is refused by name.
  auto writer = llama_gguf({.layers = 1, .hidden = 256}, "llama");
  writer.tensor_header("output.weight", {256, 1}, 12, 1 << 20);
  std::string bytes = writer.bytes();
  bytes.resize(bytes.size() + (1 << 20) + 4096);
  const std::string longer = load_error(folder.write("m.gguf", bytes));  // first: its right size
  const size_t size_at = longer.find("a file of up to ");
  ASSERT_NE(size_at, std::string::npos) << longer;
  bytes.resize(std::stoul(longer.substr(size_at + 16)));
  const std::string text = load_error(folder.write("m.gguf", bytes));
  EXPECT_NE(text.find("Q4_K"), std::string::npos) << text;
  EXPECT_NE(text.find("'output.weight' at byte"), std::string::npos) << text;
  // Mistral's window, in the architecture that it shares with Llama.
  const LoadedModel model = load_model(folder.write(
      "m.gguf", llama_gguf(s, "llama").u32("llama.attention.sliding_window", 8).bytes()));
  EXPECT_EQ(model.config.attention_window, (std::vector<int>{8, 8}));
}

}  // namespace
}  // namespace skipbench
