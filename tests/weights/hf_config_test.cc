// Spellings of config.json, defaults of transformers' classes, and what is refused.
#include "engine/weights/hf_config.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "tests/weights/model_writer.h"

namespace skipbench {
namespace {

using test::llama_config;
using test::TempFolder;
using test::TinyShape;

ModelDescription read(const std::string& json, const std::string& generation = "") {
  const TempFolder folder;
  if (!generation.empty()) folder.write("generation_config.json", generation);
  return read_hf_config(folder.write("config.json", json));
}

std::string refusal(const std::string& json) {
  try {
    read(json);
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << json;
  return "";
}

const std::string kBase =
    R"("num_hidden_layers": 3, "hidden_size": 24, "num_attention_heads": 4, "vocab_size": 50,
       "intermediate_size": 40)";

std::string config(const std::string& model_type, const std::string& more = "") {
  return fmt::format("{{\"model_type\": \"{}\", {}{}{}}}", model_type, kBase,
                     more.empty() ? "" : ", ", more);
}

TEST(HfConfigTest, AbsentAndNullKeysTakeTheClassDefaults) {
  ModelDescription d = read(config("llama"));
  EXPECT_EQ(d.config.head_dim, 6);
  EXPECT_EQ(d.config.num_kv_heads, 4);
  EXPECT_EQ(d.config.max_positions, 2048);
  EXPECT_DOUBLE_EQ(d.config.norm_epsilon, 1e-6);
  EXPECT_EQ(d.config.activation, Activation::kSilu);
  EXPECT_TRUE(d.config.end_of_text_ids.empty());
  EXPECT_EQ(d.config.begin_of_text_id, -1);
  EXPECT_EQ(d.dtype, DType::kF32);
  EXPECT_FALSE(d.qkv_bias || d.attention_output_bias || d.mlp_bias || d.config.tied_head);
  d = read(config("llama", R"("head_dim": null, "num_key_value_heads": null, "rope_scaling": null,
      "eos_token_id": null, "bos_token_id": null, "torch_dtype": null, "hidden_act": null,
      "sliding_window": null, "quantization_config": null, "rms_norm_eps": null)"));
  EXPECT_EQ(d.config.head_dim, 6);
  EXPECT_EQ(d.config.num_kv_heads, 4);
  EXPECT_EQ(read(config("qwen3", R"("num_key_value_heads": 2)")).config.head_dim, 128);
  EXPECT_EQ(read(config("qwen3", R"("num_key_value_heads": 2, "head_dim": null)")).config.head_dim,
            6);
}

TEST(HfConfigTest, Dtypes) {
  EXPECT_EQ(read(config("llama", R"("torch_dtype": "bfloat16")")).dtype, DType::kBF16);
  EXPECT_EQ(read(config("llama", R"("dtype": "float16")")).dtype, DType::kF16);
  EXPECT_EQ(read(config("llama", R"("torch_dtype": "torch.float16")")).dtype, DType::kF16);
  EXPECT_NE(refusal(config("llama", R"("dtype": "float8")")).find("'float8'"), std::string::npos);
  EXPECT_NE(refusal(config("llama", R"("dtype": "float16", "torch_dtype": "float32")"))
                .find("contradicts"),
            std::string::npos);
}

TEST(HfConfigTest, BloomSpellings) {
  for (const char* json :
       {R"({"model_type": "bloom", "n_layer": 3, "n_head": 4, "hidden_size": 24, "vocab_size": 9})",
        R"({"model_type": "bloom", "num_hidden_layers": 3, "num_attention_heads": 4, "n_embed": 24,
            "vocab_size": 9, "n_inner": null, "slow_but_exact": false, "pretraining_tp": 4})",
        R"({"architectures": ["BloomForCausalLM"], "n_layer": 3, "num_hidden_layers": 3,
            "n_head": 4, "hidden_size": 24, "vocab_size": 9, "layer_norm_epsilon": 1e-05})"}) {
    const ModelDescription d = read(json);
    EXPECT_EQ(d.config.family, "bloom");
    EXPECT_EQ(d.config.num_layers, 3);
    EXPECT_EQ(d.config.num_heads, 4);
    EXPECT_EQ(d.config.head_dim, 6);
    EXPECT_EQ(d.config.intermediate_size, 96);
    EXPECT_TRUE(d.config.tied_head);
    EXPECT_FALSE(d.config.residual_after_norm);
    EXPECT_TRUE(d.qkv_bias && d.attention_output_bias && d.mlp_bias);
  }
}

TEST(HfConfigTest, EndOfTextIds) {
  using Ids = std::vector<int32_t>;
  const std::string three = config("llama", R"("eos_token_id": 3)");
  EXPECT_EQ(read(three).config.end_of_text_ids, Ids{3});
  EXPECT_EQ(read(three, R"({"eos_token_id": [7, 5, 7]})").config.end_of_text_ids, (Ids{7, 5}));
  EXPECT_EQ(read(three, R"({"eos_token_id": 9})").config.end_of_text_ids, Ids{9});
  EXPECT_EQ(read(three, R"({"eos_token_id": null})").config.end_of_text_ids, Ids{3});
  EXPECT_EQ(read(config("llama", R"("eos_token_id": [1, 2])")).config.end_of_text_ids, (Ids{1, 2}));
  // Never generated, so it ends nothing.
  EXPECT_EQ(read(config("llama", R"("eos_token_id": [-1, 50, 49])")).config.end_of_text_ids,
            Ids{49});
  refusal(config("llama", R"("eos_token_id": "end")"));
  refusal(config("llama", R"("eos_token_id": 2.5)"));
}

TEST(HfConfigTest, SlidingWindowsAsTransformersBuildsThem) {
  using Windows = std::vector<int>;
  const std::string kv = R"("num_key_value_heads": 2, )";
  const auto windows = [&](const std::string& type, const std::string& more) {
    return read(config(type, kv + more)).config.attention_window;
  };
  EXPECT_EQ(windows("mistral", R"("sliding_window": 5)"), (Windows{5, 5, 5}));
  EXPECT_EQ(windows("mistral", R"("sliding_window": null)"), (Windows{0, 0, 0}));
  EXPECT_EQ(windows("mistral", R"("rms_norm_eps": 1e-5)"), (Windows{4096, 4096, 4096}));
  for (const char* type : {"qwen2", "qwen3"}) {
    EXPECT_EQ(windows(type, R"("sliding_window": 5, "use_sliding_window": false)"),
              (Windows{0, 0, 0}));
    EXPECT_EQ(windows(type, R"("sliding_window": 5, "max_window_layers": 1)"), (Windows{0, 0, 0}));
    EXPECT_EQ(windows(type, R"("sliding_window": 5, "use_sliding_window": true,
                               "max_window_layers": 1)"),
              (Windows{0, 5, 5}));
    EXPECT_EQ(windows(type, R"("sliding_window": 5, "use_sliding_window": true)"),
              (Windows{0, 0, 0}));
    EXPECT_EQ(windows(type, R"("sliding_window": 5, "use_sliding_window": true, "layer_types":
                      ["sliding_attention", "full_attention", "sliding_attention"])"),
              (Windows{5, 0, 5}));
    refusal(config(type, kv + R"("layer_types": ["sliding_attention", "full_attention",
                                                 "full_attention"])"));
    refusal(config(type, kv + R"("layer_types": ["full_attention"])"));
    refusal(config(type, kv + R"("layer_types": ["full_attention", "linear_attention",
                                                 "full_attention"])"));
  }
  refusal(config("llama", R"("sliding_window": 5)"));
  refusal(config("mistral", kv + R"("sliding_window": -5)"));
}

TEST(HfConfigTest, Activations) {
  const auto activation = [](const std::string& name) {
    return read(config("llama", fmt::format("\"hidden_act\": \"{}\"", name))).config.activation;
  };
  EXPECT_EQ(activation("swish"), Activation::kSilu);
  EXPECT_EQ(activation("gelu"), Activation::kGeluErf);
  EXPECT_EQ(activation("gelu_new"), Activation::kGeluTanh);
  EXPECT_EQ(activation("gelu_pytorch_tanh"), Activation::kGeluTanh);
  const std::string text = refusal(config("llama", R"("hidden_act": "relu2")"));
  EXPECT_NE(text.find("config.json: key 'hidden_act'"), std::string::npos) << text;
  EXPECT_NE(text.find("gelu_new"), std::string::npos) << text;
}

TEST(HfConfigTest, RefusesWhatWouldChangeOutputs) {
  for (const char* more :
       {R"("quantization_config": {"bits": 4})", R"("num_local_experts": 8)",
        R"("final_logit_softcapping": 30.0)", R"("attn_logit_softcapping": 50.0)",
        R"("logits_scaling": 8.0)", R"("attention_multiplier": 0.0078)",
        R"("embedding_multiplier": 12)", R"("no_rope_layers": [1, 0, 1])", R"("use_qk_norm": true)",
        R"("clip_qkv": 8.0)", R"("partial_rotary_factor": 0.5)", R"("is_causal": false)",
        R"("is_encoder_decoder": true)"}) {
    EXPECT_NE(refusal(config("llama", more)).find("config.json: key '"), std::string::npos) << more;
  }
  read(config("llama", R"("num_local_experts": 0, "logits_scaling": 1.0, "use_qk_norm": false,
                          "no_rope_layers": [], "is_encoder_decoder": false)"));
  refusal(config("mistral", R"("num_key_value_heads": 2, "mlp_bias": true)"));
}

TEST(HfConfigTest, RefusesUnknownArchitecturesWithTheKnownList) {
  const std::string text = refusal(config("gemma2"));
  for (const char* part : {"'gemma2'", "bloom", "llama", "mistral", "qwen2", "qwen3"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  refusal(config("llama", R"("architectures": ["LlamaForSequenceClassification"])"));
  refusal(config("llama", R"("architectures": ["InternLM3ForCausalLM"])"));
  refusal("{}");
  refusal("[]");
  refusal("{\"model_type\": 3}");
}

TEST(HfConfigTest, RefusesImpossibleSizes) {
  for (const char* more :
       {R"("head_dim": 0)", R"("head_dim": 257)", R"("head_dim": -6)", R"("head_dim": 7)",
        R"("num_key_value_heads": 3)", R"("num_key_value_heads": 0)", R"("head_dim": 2.5)",
        R"("rms_norm_eps": -1)", R"("max_position_embeddings": 99999999999)",
        R"("head_dim": 99999999999999999999)", R"("num_hidden_layers": 3)"}) {
    refusal(config("llama", more));  // the last one: a key twice
  }
  for (const char* key : {"num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size",
                          "intermediate_size"}) {
    const std::string base = config("llama");
    const size_t at = base.find(fmt::format("\"{}\"", key)) + std::string(key).size() + 4;
    for (const char* value : {"0", "-1", "null", "2147483647", "9223372036854775807", "\"8\""}) {
      const std::string json =
          base.substr(0, at) + value + base.substr(base.find_first_of(",}", at));
      EXPECT_NE(refusal(json), "") << json;
    }
  }
  // 24 / 5 heads is no whole number, unless head_dim says its own.
  TinyShape s{.layers = 1, .hidden = 24, .heads = 5, .kv_heads = 5, .head_dim = 4};
  EXPECT_EQ(read(llama_config(s, "llama")).config.head_dim, 4);
}

}  // namespace
}  // namespace skipbench
