#include "engine/weights/assemble.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

namespace skipbench {
namespace {

// Names without ".weight" and ".bias"; those of a layer follow "PREFIX + layer + N + '.'".
struct TensorNames {
  std::vector<std::string_view> prefixes;  // the first under which the embedding is found
  std::string_view embedding;
  std::string_view embedding_norm;
  std::string_view layer;
  std::string_view attention_norm;
  std::vector<std::string_view> qkv;  // one fused matrix or three
  std::string_view query_norm;
  std::string_view key_norm;
  std::string_view attention_output;
  std::string_view mlp_norm;
  std::vector<std::string_view> up;  // gate and up, or up alone
  std::string_view down;
  std::string_view final_norm;
  std::string_view head;  // without prefix
};

const TensorNames kLlamaNames = {
    .prefixes = {"model.", ""},
    .embedding = "embed_tokens",
    .embedding_norm = "",
    .layer = "layers.",
    .attention_norm = "input_layernorm",
    .qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
    .query_norm = "self_attn.q_norm",
    .key_norm = "self_attn.k_norm",
    .attention_output = "self_attn.o_proj",
    .mlp_norm = "post_attention_layernorm",
    .up = {"mlp.gate_proj", "mlp.up_proj"},
    .down = "mlp.down_proj",
    .final_norm = "norm",
    .head = "lm_head",
};

const TensorNames kBloomNames = {
    .prefixes = {"transformer.", ""},
    .embedding = "word_embeddings",
    .embedding_norm = "word_embeddings_layernorm",
    .layer = "h.",
    .attention_norm = "input_layernorm",
    .qkv = {"self_attention.query_key_value"},
    .query_norm = "",
    .key_norm = "",
    .attention_output = "self_attention.dense",
    .mlp_norm = "post_attention_layernorm",
    .up = {"mlp.dense_h_to_4h"},
    .down = "mlp.dense_4h_to_h",
    .final_norm = "ln_f",
    .head = "lm_head",
};

TensorNames gguf_names(const ModelConfig& config) {
  const bool is_bloom = config.family == "bloom";
  TensorNames names = {
      .prefixes = {""},
      .embedding = "token_embd",
      .embedding_norm = "token_embd_norm",
      .layer = "blk.",
      .attention_norm = "attn_norm",
      .qkv = {"attn_q", "attn_k", "attn_v"},
      .query_norm = "attn_q_norm",
      .key_norm = "attn_k_norm",
      .attention_output = "attn_output",
      .mlp_norm = "ffn_norm",
      .up = {"ffn_gate", "ffn_up"},
      .down = "ffn_down",
      .final_norm = "output_norm",
      .head = "output",
  };
  if (is_bloom) {
    names.qkv = {"attn_qkv"};
    names.up = {"ffn_up"};
  }
  return names;
}

class Assembler {
 public:
  Assembler(const ModelDescription& description, const TensorNames& names, TensorProvider& tensors)
      : description_(description),
        config_(description.config),
        names_(names),
        tensors_(tensors),
        prefix_(names.prefixes.front()) {
    for (const std::string_view prefix : names.prefixes) {
      if (tensors.has(fmt::format("{}{}.weight", prefix, names.embedding))) {
        prefix_ = prefix;
        break;
      }
    }
  }

  ModelWeights assemble() {
    ModelWeights weights;
    const std::string embedding = fmt::format("{}{}", prefix_, names_.embedding);
    weights.embedding =
        tensors_.matrix(embedding + ".weight", config_.vocab_size, config_.hidden_size);
    if (config_.embedding_norm) {
      weights.embedding_norm = norm(fmt::format("{}{}", prefix_, names_.embedding_norm));
    }
    for (int i = 0; i < config_.num_layers; ++i) {
      weights.layers.push_back(layer(fmt::format("{}{}{}.", prefix_, names_.layer, i)));
    }
    weights.final_norm = norm(fmt::format("{}{}", prefix_, names_.final_norm));
    weights.head.parts = {config_.tied_head
                              ? weights.embedding
                              : tensors_.matrix(fmt::format("{}.weight", names_.head),
                                                config_.vocab_size, config_.hidden_size)};
    return weights;
  }

 private:
  LayerWeights layer(const std::string& prefix) {
    const auto name = [&](std::string_view part) { return prefix + std::string(part); };
    const int64_t hidden = config_.hidden_size;
    const int64_t head_dim = config_.head_dim;
    const int64_t query_rows = config_.num_heads * head_dim;
    const int64_t kv_rows = config_.num_kv_heads * head_dim;
    LayerWeights weights;
    weights.attention_norm = norm(name(names_.attention_norm));
    const std::vector<int64_t> qkv_rows = names_.qkv.size() == 1
                                              ? std::vector<int64_t>{config_.qkv_rows()}
                                              : std::vector<int64_t>{query_rows, kv_rows, kv_rows};
    weights.qkv = projection(prefix, names_.qkv, qkv_rows, hidden, description_.qkv_bias);
    if (config_.qk_norm) {
      weights.query_norm.gain = tensors_.vector(name(names_.query_norm) + ".weight", head_dim);
      weights.key_norm.gain = tensors_.vector(name(names_.key_norm) + ".weight", head_dim);
    }
    weights.attention_output = projection(prefix, {names_.attention_output}, {hidden}, query_rows,
                                          description_.attention_output_bias);
    weights.mlp_norm = norm(name(names_.mlp_norm));
    const std::vector<int64_t> up_rows(names_.up.size(), config_.intermediate_size);
    weights.up = projection(prefix, names_.up, up_rows, hidden, description_.mlp_bias);
    weights.down = projection(prefix, {names_.down}, {hidden}, config_.intermediate_size,
                              description_.mlp_bias);
    return weights;
  }

  Projection projection(const std::string& prefix, const std::vector<std::string_view>& names,
                        const std::vector<int64_t>& rows, int64_t cols, bool has_bias) {
    Projection result;
    for (size_t i = 0; i < names.size(); ++i) {
      const std::string name = prefix + std::string(names[i]);
      result.parts.push_back(tensors_.matrix(name + ".weight", rows[i], cols));
      if (!has_bias) continue;
      const Vector bias = tensors_.vector(name + ".bias", rows[i]);
      result.bias.insert(result.bias.end(), bias.begin(), bias.end());
    }
    return result;
  }

  NormWeights norm(const std::string& name) {
    NormWeights weights;
    weights.gain = tensors_.vector(name + ".weight", config_.hidden_size);
    if (config_.norm == NormKind::kLayerNorm) {
      weights.bias = tensors_.vector(name + ".bias", config_.hidden_size);
    }
    return weights;
  }

  const ModelDescription& description_;
  const ModelConfig& config_;
  const TensorNames& names_;
  TensorProvider& tensors_;
  std::string_view prefix_;
};

}  // namespace

ModelWeights assemble_weights(const ModelDescription& description, NameStyle style,
                              TensorProvider& tensors) {
  const TensorNames names = style == NameStyle::kGguf              ? gguf_names(description.config)
                            : description.config.family == "bloom" ? kBloomNames
                                                                   : kLlamaNames;
  return Assembler(description, names, tensors).assemble();
}

std::vector<LayerMatrix> layer_matrices(ModelWeights& weights, const ModelConfig& config) {
  const TensorNames& names = config.family == "bloom" ? kBloomNames : kLlamaNames;
  std::vector<LayerMatrix> matrices;
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    LayerWeights& layer = weights.layers[i];
    const auto add = [&](const std::vector<std::string_view>& modules, Projection& projection) {
      for (size_t part = 0; part < modules.size(); ++part) {
        using Role = LayerMatrix::Role;
        const bool is_qkv = &projection == &layer.qkv;
        const Role role = !is_qkv               ? Role::kOther
                          : modules.size() == 1 ? Role::kFusedQkv
                          : part < 2            ? Role::kQueryOrKey
                                                : Role::kOther;
        matrices.push_back(
            {fmt::format("{}{}{}.{}", names.prefixes.front(), names.layer, i, modules[part]), role,
             &projection.parts.at(part)});
      }
    };
    add(names.qkv, layer.qkv);
    add({names.attention_output}, layer.attention_output);
    add(names.up, layer.up);
    add({names.down}, layer.down);
  }
  return matrices;
}

bool is_harmless_tensor(std::string_view name) {
  return name.ends_with("rotary_emb.inv_freq") || name == "lm_head.weight" ||
         name == "rope_freqs.weight";
}

}  // namespace skipbench
