#include "engine/weights/hf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>

#include "engine/base/error.h"

namespace skipbench {
namespace {

// What differs between the families of Llama's shape. Defaults are those of transformers'
// configuration classes, used where config.json leaves a key out.
struct Family {
  std::string_view model_type;
  std::string_view class_prefix;  // of the names in "architectures"
  int default_kv_heads;           // 0: as many as heads
  int default_head_dim;           // 0: hidden_size / heads
  int64_t default_positions;
  bool qkv_bias;              // always; "attention_bias" adds it where `reads_attention_bias`
  bool reads_attention_bias;  // q, k, v and output
  bool reads_mlp_bias;
  bool qk_norm;
};

constexpr Family kFamilies[] = {
    {"llama", "Llama", 0, 0, 2048, false, true, true, false},
    {"mistral", "Mistral", 8, 0, 131072, false, false, false, false},
    {"qwen2", "Qwen2", 32, 0, 32768, true, false, false, false},
    {"qwen3", "Qwen3", 32, 128, 32768, false, true, false, true},
    {"bloom", "Bloom", 0, 0, 0, false, false, false, false},
};

// Keys that change the outputs of models that otherwise look like one of the families (Gemma,
// Granite, MiniCPM, SmolLM3, mixtures of experts, ...). Allowed: null, false, an empty value, 0 for
// all, and 1 for factors.
struct RefusedKey {
  std::string_view key;
  bool one_is_neutral;
};

constexpr RefusedKey kRefusedKeys[] = {
    {"quantization_config", false},
    {"compression_config", false},
    {"num_experts", false},
    {"num_local_experts", false},
    {"n_routed_experts", false},
    {"moe_intermediate_size", false},
    {"attn_logit_softcapping", false},
    {"final_logit_softcapping", false},
    {"logit_softcapping", false},
    {"query_pre_attn_scalar", false},
    {"logit_scale", true},
    {"logits_scaling", true},
    {"attention_multiplier", false},
    {"attention_scaling", true},
    {"embedding_multiplier", true},
    {"residual_multiplier", true},
    {"scale_emb", true},
    {"scale_depth", false},
    {"dim_model_base", false},
    {"no_rope_layers", false},
    {"no_rope_layer_interval", false},
    {"use_qk_norm", false},
    {"qk_layernorm", false},
    {"clip_qkv", false},
    {"attention_chunk_size", false},
    {"alibi", false},
    {"parallel_attn", false},
    {"use_parallel_residual", false},
    {"attention_sinks", false},
    {"use_bidirectional_attention", false},
    {"is_encoder_decoder", false},
    {"add_cross_attention", false},
    {"n_inner", false},
};

void refuse_unsupported(const JsonObject& config) {
  for (const auto& [key, one_is_neutral] : kRefusedKeys) {
    const auto* value = config.find(key);
    if (value == nullptr || (value->is_boolean() && !value->get<bool>())) continue;
    if ((value->is_structured() || value->is_string()) && value->empty()) continue;
    if (value->is_number()) {
      const auto number = value->get<double>();
      if (number == 0 || (one_is_neutral && number == 1)) continue;
    }
    throw Error(
        {.what = "the model needs something that the engine does not do",
         .where = config.where(key),
         .expected = "absent or null",
         .got =
             value->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, 60)});
  }
  for (const char* key : {"is_causal", "causal"}) {
    if (!config.boolean(key).value_or(true)) {
      throw Error({.what = "attention without the causal mask is not supported",
                   .where = config.where(key)});
    }
  }
}

const Family& find_family(const JsonObject& config) {
  std::vector<std::string> known;
  for (const Family& family : kFamilies) known.emplace_back(family.model_type);
  const auto architectures = config.strings("architectures").value_or(std::vector<std::string>{});
  const auto matches = [&](const Family& family, const std::string& name) {
    return name == fmt::format("{}ForCausalLM", family.class_prefix) ||
           name == fmt::format("{}Model", family.class_prefix);
  };
  const auto model_type = config.string("model_type");
  const Family* found = nullptr;
  for (const Family& family : kFamilies) {
    if (model_type ? *model_type == family.model_type
                   : !architectures.empty() && matches(family, architectures.front())) {
      found = &family;
    }
  }
  if (found == nullptr) {
    const std::string name = model_type              ? *model_type
                             : architectures.empty() ? ""
                                                     : architectures.front();
    throw unknown_name(
        "architecture", name, known,
        config.where(model_type || architectures.empty() ? "model_type" : "architectures"));
  }
  for (const std::string& name : architectures) {
    if (matches(*found, name)) continue;
    throw Error({.what = "the model is no causal language model of its family",
                 .where = config.where("architectures"),
                 .expected = fmt::format("{}ForCausalLM", found->class_prefix),
                 .got = name});
  }
  return *found;
}

int narrow(int64_t value, const std::string& where) {
  if (value < std::numeric_limits<int>::min() || value > std::numeric_limits<int>::max()) {
    throw Error({.what = "integer out of range", .where = where, .got = std::to_string(value)});
  }
  return static_cast<int>(value);
}

// The size under one of its spellings; the first is named when none is there.
int required_size(const JsonObject& config, std::initializer_list<std::string_view> spellings) {
  const std::string_view first = *spellings.begin();
  const auto value = config.integer_of(spellings);
  if (!value) throw Error({.what = "missing key", .where = config.where(first)});
  if (*value < 1) {
    throw Error({.what = "size out of range",
                 .where = config.where(first),
                 .expected = "a positive integer",
                 .got = std::to_string(*value)});
  }
  return narrow(*value, config.where(first));
}

// An absent key takes the class default, an explicit null the value derived from the others.
int size_or(const JsonObject& config, std::string_view key, int class_default, int derived) {
  if (const auto value = config.integer(key)) return narrow(*value, config.where(key));
  return config.is_null(key) || class_default == 0 ? derived : class_default;
}

Activation parse_activation(const JsonObject& config) {
  const std::string name = config.string("hidden_act").value_or("silu");
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "gelu" || name == "gelu_python") return Activation::kGeluErf;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") {
    return Activation::kGeluTanh;
  }
  const std::array<std::string, 6> known = {
      "silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast"};
  throw unknown_name("activation", name, known, config.where("hidden_act"));
}

// Layers that see only the last `sliding_window` positions, their own included, as the family's
// class in transformers builds the mask.
void read_windows(const JsonObject& config, ModelConfig& out) {
  out.attention_window.assign(out.num_layers, 0);
  const bool is_mistral = out.family == "mistral";
  const bool is_qwen = out.family == "qwen2" || out.family == "qwen3";
  const int64_t class_default = is_mistral || is_qwen ? 4096 : 0;
  int64_t window = config.is_null("sliding_window")
                       ? 0
                       : config.integer("sliding_window").value_or(class_default);
  if (is_qwen && !config.boolean("use_sliding_window").value_or(false)) window = 0;
  if (config.has("sliding_window") && window != 0) {
    if (window < 1 || !(is_mistral || is_qwen)) {
      throw Error({.what = "sliding window not supported",
                   .where = config.where("sliding_window"),
                   .got = std::to_string(window)});
    }
  }
  const int64_t first = is_qwen ? config.integer("max_window_layers").value_or(28) : 0;
  for (int i = 0; i < out.num_layers; ++i) {
    if (window > 0 && i >= first)
      out.attention_window[i] = narrow(window, config.where("sliding_window"));
  }
  const auto types = config.strings("layer_types");
  if (!types) return;
  if (static_cast<int>(types->size()) != out.num_layers) {
    throw Error({.what = "one layer type per layer is needed",
                 .where = config.where("layer_types"),
                 .expected = std::to_string(out.num_layers),
                 .got = std::to_string(types->size())});
  }
  for (int i = 0; i < out.num_layers; ++i) {
    const std::string& type = (*types)[i];
    const bool slides = type == "sliding_attention";
    const bool fits = is_qwen ? !slides || window > 0 : slides == (window > 0);
    if ((!slides && type != "full_attention") || !fits) {
      throw Error({.what = fmt::format("layer type '{}' of layer {} not supported", type, i),
                   .where = config.where("layer_types"),
                   .expected = "full_attention, or sliding_attention with a sliding window"});
    }
    out.attention_window[i] = slides ? narrow(window, config.where("sliding_window")) : 0;
  }
}

void read_bloom(const JsonObject& config, ModelDescription& out) {
  ModelConfig& model = out.config;
  model.hidden_size = required_size(config, {"hidden_size", "n_embed", "n_embd"});
  model.intermediate_size = narrow(4 * int64_t{model.hidden_size}, config.where("hidden_size"));
  model.num_kv_heads = model.num_heads;
  model.norm = NormKind::kLayerNorm;
  model.norm_epsilon = config.number("layer_norm_epsilon").value_or(1e-5);
  model.position = PositionKind::kAlibi;
  model.mlp = MlpKind::kPlain;
  model.activation = Activation::kGeluTanh;  // BloomGelu
  model.qkv_layout = QkvLayout::kPerHead;
  model.embedding_norm = true;
  model.residual_after_norm =
      config.boolean("apply_residual_connection_post_layernorm").value_or(false);
  model.tied_head = config.boolean("tie_word_embeddings").value_or(true);
  out.qkv_bias = out.attention_output_bias = out.mlp_bias = true;
}

void read_llama(const JsonObject& config, const Family& family, ModelDescription& out) {
  ModelConfig& model = out.config;
  model.hidden_size = required_size(config, {"hidden_size"});
  model.intermediate_size = required_size(config, {"intermediate_size"});
  model.num_kv_heads =
      size_or(config, "num_key_value_heads", family.default_kv_heads, model.num_heads);
  model.norm_epsilon = config.number("rms_norm_eps").value_or(1e-6);
  model.activation = parse_activation(config);
  model.qk_norm = family.qk_norm;
  model.tied_head = config.boolean("tie_word_embeddings").value_or(false);
  const auto positions =
      config.integer("max_position_embeddings").value_or(family.default_positions);
  model.max_positions = narrow(positions, config.where("max_position_embeddings"));
  const auto refuse_bias = [&](const char* key) {
    if (config.boolean(key).value_or(false)) {
      throw Error({.what = fmt::format("{} has no such bias", family.model_type),
                   .where = config.where(key)});
    }
  };
  const bool attention_bias = config.boolean("attention_bias").value_or(false);
  // Qwen2 files may say attention_bias although its class always has it on q, k, v alone.
  if (!family.reads_attention_bias && !family.qkv_bias) refuse_bias("attention_bias");
  out.qkv_bias = family.qkv_bias || (family.reads_attention_bias && attention_bias);
  out.attention_output_bias = family.reads_attention_bias && attention_bias;
  if (!family.reads_mlp_bias) refuse_bias("mlp_bias");
  out.mlp_bias = family.reads_mlp_bias && config.boolean("mlp_bias").value_or(false);
}

int read_head_dim(const JsonObject& config, const Family& family, const ModelConfig& model) {
  const int derived = model.hidden_size / model.num_heads;
  const bool own = family.model_type != "bloom";
  const int head_dim =
      own ? size_or(config, "head_dim", family.default_head_dim, derived) : derived;
  const bool is_derived = !own || (!config.has("head_dim") && head_dim == derived);
  if (is_derived && model.hidden_size % model.num_heads != 0) {
    throw Error({.what = "the hidden size is no multiple of the number of heads",
                 .where = config.where("hidden_size"),
                 .got = fmt::format("{} and {}", model.hidden_size, model.num_heads)});
  }
  return head_dim;
}

// Weight type of a synthetic model: "bfloat16", or "torch.bfloat16" in old files.
DType read_dtype(const JsonObject& config) {
  std::string name = config.string_of({"dtype", "torch_dtype"}).value_or("float32");
  const char* key = config.has("dtype") ? "dtype" : "torch_dtype";
  if (name.starts_with("torch.")) name = name.substr(6);
  if (name == "float32" || name == "float") return DType::kF32;
  if (name == "float16" || name == "half") return DType::kF16;
  if (name == "bfloat16") return DType::kBF16;
  const std::array<std::string, 3> known = {"float32", "float16", "bfloat16"};
  throw unknown_name("dtype", name, known, config.where(key));
}

void add_ids(const JsonObject& object, const char* key, std::vector<int32_t>& ids) {
  const auto values = object.integers(key);
  if (!values) return;
  for (const int64_t id : *values) {
    const int32_t token = narrow(id, object.where(key));
    if (std::find(ids.begin(), ids.end(), token) == ids.end()) ids.push_back(token);
  }
}

// generation_config.json overrules config.json: chat models list their turn ends only there.
void read_special_ids(const JsonObject& config, ModelConfig& out) {
  const auto beside = std::filesystem::path(config.path()).parent_path() / "generation_config.json";
  std::error_code ignored;
  if (std::filesystem::exists(beside, ignored)) {
    const JsonObject generation = JsonObject::read(beside.string());
    add_ids(generation, "eos_token_id", out.end_of_text_ids);
    if (const auto id = generation.integer("bos_token_id")) {
      out.begin_of_text_id = narrow(*id, generation.where("bos_token_id"));
    }
  }
  if (out.end_of_text_ids.empty()) add_ids(config, "eos_token_id", out.end_of_text_ids);
  if (const auto id = config.integer("bos_token_id")) {
    out.begin_of_text_id = narrow(*id, config.where("bos_token_id"));
  }
}

}  // namespace

ModelDescription read_hf_config(const std::string& config_path) {
  const JsonObject config = JsonObject::read(config_path);
  const Family& family = find_family(config);
  refuse_unsupported(config);
  ModelDescription out;
  ModelConfig& model = out.config;
  model.family = family.model_type;
  model.num_layers = required_size(config, {"num_hidden_layers", "n_layer"});
  model.num_heads = required_size(config, {"num_attention_heads", "n_head"});
  model.vocab_size = required_size(config, {"vocab_size"});
  const bool is_bloom = family.model_type == "bloom";
  if (is_bloom) {
    read_bloom(config, out);
  } else {
    read_llama(config, family, out);
  }
  model.head_dim = read_head_dim(config, family, model);
  out.dtype = read_dtype(config);
  read_special_ids(config, model);
  finish_description(out, config_path);  // sizes are sane from here on
  if (!is_bloom) model.rope = read_hf_rope(config, model.head_dim, model.max_positions);
  read_windows(config, model);
  return out;
}

}  // namespace skipbench
