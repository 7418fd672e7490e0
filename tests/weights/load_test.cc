// Every family from both file formats: shapes, names, values, and what is refused.
#include "engine/weights/load.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/base/error.h"
#include "engine/base/mapped_file.h"
#include "engine/weights/memory_plan.h"
#include "tests/weights/expect_tensors.h"
#include "tests/weights/model_writer.h"

namespace skipbench {
namespace {

using test::bloom_config;
using test::bloom_tensors;
using test::expect_matrix;
using test::expect_vector;
using test::llama_config;
using test::llama_gguf;
using test::llama_tensors;
using test::load_error;
using test::safetensors_bytes;
using test::TempFolder;
using test::Tensor;
using test::TinyShape;

LoadedModel load_folder(const TempFolder& folder, const std::string& config,
                        const std::vector<Tensor>& tensors) {
  folder.write("config.json", config);
  folder.write("model.safetensors", safetensors_bytes(tensors));
  return load_model(folder.path());
}

void expect_llama_layer(const LayerWeights& layer, const TinyShape& s, const std::string& prefix) {
  expect_vector(layer.attention_norm.gain, {prefix + "input_layernorm.weight"}, {s.hidden});
  EXPECT_TRUE(layer.attention_norm.bias.empty());
  ASSERT_EQ(layer.qkv.parts.size(), 3u);
  const std::string attention = prefix + "self_attn.";
  expect_matrix(layer.qkv.parts[0], attention + "q_proj.weight", s.heads * s.head_dim, s.hidden);
  expect_matrix(layer.qkv.parts[1], attention + "k_proj.weight", s.kv_heads * s.head_dim, s.hidden);
  expect_matrix(layer.qkv.parts[2], attention + "v_proj.weight", s.kv_heads * s.head_dim, s.hidden);
  expect_matrix(layer.attention_output.parts.at(0), attention + "o_proj.weight", s.hidden,
                s.heads * s.head_dim);
  expect_vector(layer.mlp_norm.gain, {prefix + "post_attention_layernorm.weight"}, {s.hidden});
  ASSERT_EQ(layer.up.parts.size(), 2u);
  expect_matrix(layer.up.parts[0], prefix + "mlp.gate_proj.weight", s.intermediate, s.hidden);
  expect_matrix(layer.up.parts[1], prefix + "mlp.up_proj.weight", s.intermediate, s.hidden);
  expect_matrix(layer.down.parts.at(0), prefix + "mlp.down_proj.weight", s.hidden, s.intermediate);
}

TEST(LoadTest, LlamaFolderInEveryPlainType) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    const TempFolder folder;
    const TinyShape s;
    const LoadedModel model =
        load_folder(folder, llama_config(s, "llama", "\"eos_token_id\": 3, \"bos_token_id\": 1,"),
                    llama_tensors(s, false, false, false, false, true, type));
    EXPECT_EQ(model.config.family, "llama");
    EXPECT_EQ(model.config.qkv_layout, QkvLayout::kSeparate);
    EXPECT_FALSE(model.config.tied_head);
    EXPECT_FALSE(model.config.rope.interleaved);
    EXPECT_DOUBLE_EQ(model.config.attention_scale, 0.5);
    EXPECT_EQ(model.config.end_of_text_ids, std::vector<int32_t>{3});
    EXPECT_EQ(model.config.begin_of_text_id, 1);
    EXPECT_EQ(model.weights.embedding.type, type);
    expect_matrix(model.weights.embedding, "model.embed_tokens.weight", s.vocab, s.hidden);
    expect_matrix(model.weights.head.parts.at(0), "lm_head.weight", s.vocab, s.hidden);
    expect_vector(model.weights.final_norm.gain, {"model.norm.weight"}, {s.hidden});
    ASSERT_EQ(model.weights.layers.size(), 2u);
    for (int i = 0; i < s.layers; ++i) {
      expect_llama_layer(model.weights.layers[i], s, fmt::format("model.layers.{}.", i));
      EXPECT_TRUE(model.weights.layers[i].qkv.bias.empty());
      EXPECT_TRUE(model.weights.layers[i].query_norm.gain.empty());
    }
  }
}

TEST(LoadTest, LlamaWithBiasesTiedHeadAndNoPrefix) {
  const TempFolder folder;
  const TinyShape s;
  const LoadedModel model = load_folder(
      folder,
      llama_config(s, "llama",
                   "\"attention_bias\": true, \"mlp_bias\": true, \"tie_word_embeddings\": true,"),
      llama_tensors(s, true, true, true, false, false, DType::kF16, ""));
  EXPECT_EQ(model.weights.head.parts.at(0).data, model.weights.embedding.data);
  const std::string p = "layers.1.";
  const LayerWeights& layer = model.weights.layers.at(1);
  expect_llama_layer(layer, s, p);
  expect_vector(
      layer.qkv.bias,
      {p + "self_attn.q_proj.bias", p + "self_attn.k_proj.bias", p + "self_attn.v_proj.bias"},
      {s.heads * s.head_dim, s.kv_heads * s.head_dim, s.kv_heads * s.head_dim});
  expect_vector(layer.attention_output.bias, {p + "self_attn.o_proj.bias"}, {s.hidden});
  expect_vector(layer.up.bias, {p + "mlp.gate_proj.bias", p + "mlp.up_proj.bias"},
                {s.intermediate, s.intermediate});
  expect_vector(layer.down.bias, {p + "mlp.down_proj.bias"}, {s.hidden});
}

TEST(LoadTest, QwenFamilies) {
  const TempFolder folder;
  TinyShape s;
  s.head_dim = 6;  // its own: not hidden / heads
  LoadedModel model = load_folder(folder, llama_config(s, "qwen2"),
                                  llama_tensors(s, true, false, false, false, true));
  EXPECT_EQ(model.weights.layers.at(0).qkv.bias.size(),
            static_cast<size_t>(model.config.qkv_rows()));
  EXPECT_TRUE(model.weights.layers.at(0).attention_output.bias.empty());
  EXPECT_FALSE(model.config.qk_norm);

  model = load_folder(folder, llama_config(s, "qwen3"),
                      llama_tensors(s, false, false, false, true, true));
  EXPECT_TRUE(model.config.qk_norm);
  EXPECT_EQ(model.config.head_dim, 6);
  EXPECT_EQ(model.config.rope.inverse_frequencies.size(), 3u);
  expect_vector(model.weights.layers.at(1).query_norm.gain,
                {"model.layers.1.self_attn.q_norm.weight"}, {6});
  expect_vector(model.weights.layers.at(1).key_norm.gain,
                {"model.layers.1.self_attn.k_norm.weight"}, {6});
}

TEST(LoadTest, BloomFolderWithAndWithoutPrefix) {
  for (const std::string prefix : {"transformer.", ""}) {
    const TempFolder folder;
    const TinyShape s;
    const LoadedModel model =
        load_folder(folder, bloom_config(s, "\"apply_residual_connection_post_layernorm\": true,"),
                    bloom_tensors(s, prefix, DType::kF16));
    const ModelConfig& c = model.config;
    EXPECT_EQ(c.qkv_layout, QkvLayout::kPerHead);
    EXPECT_EQ(c.position, PositionKind::kAlibi);
    EXPECT_EQ(c.norm, NormKind::kLayerNorm);
    EXPECT_EQ(c.mlp, MlpKind::kPlain);
    EXPECT_EQ(c.activation, Activation::kGeluTanh);
    EXPECT_TRUE(c.tied_head && c.embedding_norm && c.residual_after_norm);
    EXPECT_EQ(c.max_positions, 0);
    EXPECT_EQ(c.num_kv_heads, s.heads);
    EXPECT_EQ(c.intermediate_size, 4 * s.hidden);
    const std::string p = prefix + "h.1.";
    const LayerWeights& layer = model.weights.layers.at(1);
    ASSERT_EQ(layer.qkv.parts.size(), 1u);
    expect_matrix(layer.qkv.parts[0], p + "self_attention.query_key_value.weight", 3 * s.hidden,
                  s.hidden);
    expect_vector(layer.qkv.bias, {p + "self_attention.query_key_value.bias"}, {3 * s.hidden});
    expect_vector(layer.mlp_norm.bias, {p + "post_attention_layernorm.bias"}, {s.hidden});
    expect_matrix(layer.up.parts.at(0), p + "mlp.dense_h_to_4h.weight", 4 * s.hidden, s.hidden);
    expect_vector(layer.down.bias, {p + "mlp.dense_4h_to_h.bias"}, {s.hidden});
    expect_vector(model.weights.embedding_norm.bias, {prefix + "word_embeddings_layernorm.bias"},
                  {s.hidden});
  }
}

TEST(LoadTest, ShardsWithIndex) {
  const TempFolder folder;
  const TinyShape s;
  const auto tensors = llama_tensors(s, false, false, false, false, true);
  const size_t half = tensors.size() / 2;
  folder.write("a.safetensors", safetensors_bytes({tensors.begin(), tensors.begin() + half}));
  folder.write("b.safetensors", safetensors_bytes({tensors.begin() + half, tensors.end()}));
  std::string map;
  for (size_t i = 0; i < tensors.size(); ++i) {
    map += fmt::format("{}\"{}\": \"{}.safetensors\"", i == 0 ? "" : ", ", tensors[i].name,
                       i < half ? "a" : "b");
  }
  folder.write("config.json", llama_config(s, "llama"));
  const auto index = [&](const std::string& weight_map) {
    folder.write("model.safetensors.index.json", "{\"weight_map\": {" + weight_map + "}}");
  };
  index(map);
  const LoadedModel model = load_model(folder.path());
  EXPECT_EQ(model.storage.size(), 2u);
  for (int i = 0; i < s.layers; ++i) {
    expect_llama_layer(model.weights.layers.at(i), s, fmt::format("model.layers.{}.", i));
  }
  index(map + ", \"x\": \"c.safetensors\"");
  EXPECT_NE(load_error(folder.path()).find("shard 'c.safetensors' is missing"), std::string::npos);
  index(map + ", \"x\": \"b.safetensors\"");
  EXPECT_NE(load_error(folder.path()).find("places tensor 'x' where it is not"), std::string::npos);
  for (const char* escape : {"../a.safetensors", "/etc/passwd", "..", "", "d/a.safetensors"}) {
    index(map + fmt::format(", \"x\": \"{}\"", escape));
    EXPECT_NE(load_error(folder.path()).find("bad shard name"), std::string::npos) << escape;
  }
}

TEST(LoadTest, WrongOrMissingTensorsAreNamed) {
  const TempFolder folder;
  const TinyShape s;
  const auto all = llama_tensors(s, false, false, false, false, true);
  folder.write("config.json", llama_config(s, "llama"));
  for (size_t i = 0; i < all.size(); ++i) {
    auto some = all;
    some.erase(some.begin() + static_cast<int64_t>(i));
    folder.write("model.safetensors", safetensors_bytes(some));
    EXPECT_NE(load_error(folder.path()).find(all[i].name), std::string::npos);
    some = all;
    some[i].shape.front() += 1;
    folder.write("model.safetensors", safetensors_bytes(some));
    const std::string text = load_error(folder.path());
    EXPECT_NE(text.find(fmt::format("model.safetensors: tensor '{}' at byte ", all[i].name)),
              std::string::npos)
        << text;
  }
  auto more = all;
  more.push_back({"model.layers.0.self_attn.q_proj.bias", {s.heads * s.head_dim}});
  folder.write("model.safetensors", safetensors_bytes(more));
  EXPECT_NE(load_error(folder.path()).find("q_proj.bias"), std::string::npos);
}

// Every matrix is a view of the mapped file: loading a model copies no tensor.
void expect_views(const LoadedModel& model) {
  ASSERT_EQ(model.storage.size(), 1u);
  const auto file = std::static_pointer_cast<const MappedFile>(model.storage.front());
  const auto bytes = file->bytes();
  EXPECT_EQ(model.file_bytes, static_cast<int64_t>(bytes.size()));
  const auto inside = [&](const Weight& weight) {
    EXPECT_GE(weight.data, bytes.data()) << weight.name;
    EXPECT_LE(weight.data + weight.bytes(), bytes.data() + bytes.size()) << weight.name;
  };
  inside(model.weights.embedding);
  for (const LayerWeights& layer : model.weights.layers) {
    for (const auto* projection : {&layer.qkv, &layer.attention_output, &layer.up, &layer.down}) {
      for (const Weight& part : projection->parts) inside(part);
    }
  }
  inside(model.weights.head.parts.at(0));
}

TEST(LoadTest, MatricesAreViewsOfTheMappedFile) {
  const TempFolder folder;
  const TinyShape s;
  expect_views(load_folder(folder, llama_config(s, "llama"),
                           llama_tensors(s, false, false, false, false, true, DType::kBF16)));
  expect_views(load_model(folder.write("m.gguf", llama_gguf(s, "llama").bytes())));
}

TEST(LoadTest, DemoModel) {
  const std::string path = SKIPBENCH_SOURCE_DIR "/models/smollm2-135m";
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << path << " is absent: scripts/fetch_model smollm2 downloads it";
  }
  const LoadedModel model = load_model(path);
  expect_views(model);
  EXPECT_EQ(model.config.num_layers, 30);
  EXPECT_EQ(model.config.num_kv_heads, 3);
  EXPECT_EQ(model.config.end_of_text_ids, std::vector<int32_t>{2});
  EXPECT_TRUE(model.config.rope.interleaved);
  const WeightCount count = count_weights(model.weights);
  EXPECT_EQ(count.parameters, 134515008);  // the model card's 135M
  EXPECT_EQ(count.matrices.at(DType::kQ4_1).tensors, 7 * 30);
  EXPECT_EQ(count.matrices.at(DType::kQ8_0).tensors, 1);
  EXPECT_LE(count.bytes, model.file_bytes);
}

TEST(LoadTest, MissingModelsSayHowToGetThem) {
  const TempFolder folder;
  EXPECT_NE(load_error(folder.path("models/smollm2-135m")).find("scripts/fetch_model smollm2"),
            std::string::npos);
  EXPECT_NE(load_error(folder.path("nothing")).find("no such model"), std::string::npos);
  EXPECT_NE(load_error(folder.path()).find("no model in the folder"), std::string::npos);
  folder.write("config.json", "{}");
  folder.write("pytorch_model.bin", "x");
  EXPECT_NE(load_error(folder.path()).find("safe_serialization"), std::string::npos);
  EXPECT_NE(load_error("synthetic:" + folder.path("no.json")).find("no.json"), std::string::npos);
  EXPECT_NE(load_error("synthetic:a.json:7x").find("bad seed"), std::string::npos);
}

TEST(LoadTest, HashFollowsWeightsAndConfigurationNotThePath) {
  const TinyShape s;
  const auto tensors = llama_tensors(s, false, false, false, false, true);
  const TempFolder a, b, c, d;
  const std::string hash = model_hash(load_folder(a, llama_config(s, "llama"), tensors));
  EXPECT_EQ(hash.size(), 64u);
  EXPECT_EQ(hash, model_hash(load_folder(b, llama_config(s, "llama"), tensors)));
  EXPECT_NE(hash, model_hash(
                      load_folder(c, llama_config(s, "llama", "\"rms_norm_eps\": 0.1,"), tensors)));
  load_folder(d, llama_config(s, "llama"), tensors);
  std::string bytes = safetensors_bytes(tensors);
  bytes.back() ^= 1;
  d.write("model.safetensors", bytes);
  EXPECT_NE(hash, model_hash(load_model(d.path())));
}

}  // namespace
}  // namespace skipbench
