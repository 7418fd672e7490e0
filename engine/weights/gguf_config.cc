#include "engine/weights/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "engine/base/error.h"
#include "engine/weights/rope.h"
#include "engine/weights/tensor_provider.h"

namespace skipbench {
namespace {

// Keys after "ARCHITECTURE." that are read here or change nothing. Experts may be stated as 0.
constexpr std::string_view kKnownKeys[] = {
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "vocab_size",
    "expert_count",
    "expert_used_count",
    "use_parallel_residual",
    "tensor_data_layout",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.sliding_window",
    "attention.causal",
    "attention.scale",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
};

class Reader {
 public:
  explicit Reader(const GgufFile& file)
      : file_(file), architecture_(file.string("general.architecture")) {}

  ModelDescription read();

 private:
  std::string key(std::string_view name) const { return fmt::format("{}.{}", architecture_, name); }
  [[noreturn]] void refuse(std::string_view name, std::string what, std::string got = "") const {
    throw Error({.what = std::move(what),
                 .where = fmt::format("{}: key '{}'", file_.path(), key(name)),
                 .got = std::move(got)});
  }

  // One integer, or the same for every layer; `fallback` 0 makes the key obligatory.
  int size(std::string_view name, int64_t fallback = 0) const;
  void check_keys() const;
  void read_shape(ModelConfig& model) const;
  RopeScaling read_scaling(const ModelConfig& model) const;
  RopeConfig read_rope(const ModelConfig& model) const;
  void read_biases(ModelDescription& out) const;
  void read_special_ids(ModelConfig& model) const;

  const GgufFile& file_;
  std::string architecture_;
};

int Reader::size(std::string_view name, int64_t fallback) const {
  const std::string full = key(name);
  int64_t value = fallback;
  if (file_.has(full) || fallback == 0) {
    const auto found = file_.metadata().find(full);
    if (found != file_.metadata().end() &&
        std::holds_alternative<std::vector<int64_t>>(found->second)) {
      const auto& values = std::get<std::vector<int64_t>>(found->second);
      if (values.empty() || std::any_of(values.begin(), values.end(),
                                        [&](int64_t v) { return v != values.front(); })) {
        refuse(name, "layers of different shape are not supported");
      }
      value = values.front();
    } else {
      value = file_.integer(full);
    }
  }
  if (value < 1 || value > std::numeric_limits<int>::max()) {
    refuse(name, "size out of range", std::to_string(value));
  }
  return static_cast<int>(value);
}

void Reader::check_keys() const {
  const std::string prefix = architecture_ + ".";
  for (const auto& [full, value] : file_.metadata()) {
    if (!full.starts_with(prefix)) continue;
    const std::string name = full.substr(prefix.size());
    if (std::find(std::begin(kKnownKeys), std::end(kKnownKeys), name) == std::end(kKnownKeys)) {
      refuse(name, "the model needs something that the engine does not do");
    }
  }
  for (const char* name : {"expert_count", "expert_used_count"}) {
    if (file_.integer_or(key(name), 0) != 0) refuse(name, "mixtures of experts not supported");
  }
  if (!file_.bool_or(key("attention.causal"), true)) {
    refuse("attention.causal", "attention without the causal mask is not supported");
  }
  if (file_.bool_or(key("use_parallel_residual"), false)) {
    refuse("use_parallel_residual", "parallel residuals are not supported");
  }
  if (file_.integer_or("split.count", 1) > 1) {
    throw Error({.what = "a model split over several GGUF files is not supported",
                 .where = file_.path(),
                 .hint = "merge them with llama.cpp's gguf-split --merge"});
  }
}

void Reader::read_shape(ModelConfig& model) const {
  model.num_layers = size("block_count");
  model.hidden_size = size("embedding_length");
  model.intermediate_size = size("feed_forward_length");
  model.num_heads = size("attention.head_count");
  model.num_kv_heads = size("attention.head_count_kv", model.num_heads);
  const bool has_head_dim = file_.has(key("attention.key_length"));
  if (!has_head_dim && model.hidden_size % model.num_heads != 0) {
    refuse("attention.head_count", "the hidden size is no multiple of the number of heads",
           std::to_string(model.num_heads));
  }
  model.head_dim = size("attention.key_length", model.hidden_size / model.num_heads);
  if (size("attention.value_length", model.head_dim) != model.head_dim) {
    refuse("attention.value_length", "values of another size than keys are not supported");
  }
  const auto embedding = file_.tensor("token_embd.weight");
  if (!embedding) {
    throw Error({.what = "tensor 'token_embd.weight' is missing",
                 .where = file_.path(),
                 .hint = file_.tensor_names().empty() ? "the file holds a vocabulary only" : ""});
  }
  model.vocab_size = size("vocab_size", embedding->rows);
  model.attention_scale = file_.number_or(key("attention.scale"), 0);
}

RopeScaling Reader::read_scaling(const ModelConfig& model) const {
  RopeScaling scaling;
  // llama.cpp: a factor without a type means linear; a factor of 0 means none.
  const std::string type = file_.string_or(key("rope.scaling.type"), "linear");
  const double old_factor = file_.number_or(key("rope.scale_linear"), 0);
  scaling.factor = file_.number_or(key("rope.scaling.factor"), old_factor);
  if (scaling.factor == 0) scaling.factor = 1;
  scaling.original_positions =
      file_.integer_or(key("rope.scaling.original_context_length"), model.max_positions);
  const double attention = file_.number_or(key("rope.scaling.attn_factor"), 1);
  if (type == "none") {
    scaling.kind = RopeScaling::Kind::kNone;
  } else if (type == "linear") {
    scaling.kind = RopeScaling::Kind::kLinear;
  } else if (type == "yarn") {
    scaling.kind = RopeScaling::Kind::kYarn;
    scaling.attention_factor = attention * yarn_magnitude(scaling.factor);
    scaling.beta_fast = file_.number_or(key("rope.scaling.yarn_beta_fast"), 32);
    scaling.beta_slow = file_.number_or(key("rope.scaling.yarn_beta_slow"), 1);
  } else {
    const std::array<std::string, 3> known = {"none", "linear", "yarn"};
    throw unknown_name("RoPE scaling type", type, known,
                       fmt::format("{}: key '{}'", file_.path(), key("rope.scaling.type")));
  }
  if (attention != 1 && scaling.kind != RopeScaling::Kind::kYarn) {
    refuse("rope.scaling.attn_factor", "attention factor without yarn not supported",
           fmt::format("{}", attention));
  }
  return scaling;
}

RopeConfig Reader::read_rope(const ModelConfig& model) const {
  const int rotary = size("rope.dimension_count", model.head_dim);
  if (rotary != model.head_dim) {
    refuse("rope.dimension_count", "partial rotary embeddings are not supported",
           std::to_string(rotary));
  }
  const double theta = file_.number_or(key("rope.freq_base"), 10000);
  RopeConfig rope = make_rope(model.head_dim, theta, read_scaling(model),
                              fmt::format("{}: keys '{}*'", file_.path(), key("rope.")));
  // The converter permutes query and key rows of this architecture to adjacent pairs.
  rope.interleaved = architecture_ == "llama";
  if (!file_.tensor("rope_freqs.weight")) return rope;
  const GgufTable table(file_);
  const Vector factors = FileTensors(table).vector("rope_freqs.weight", model.head_dim / 2);
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] > 0)) {
      throw Error({.what = fmt::format("factor {} of the RoPE frequencies is not positive", i),
                   .where = table.where("rope_freqs.weight")});
    }
    rope.inverse_frequencies[i] /= factors[i];
  }
  return rope;
}

// GGUF has no key for biases: a tensor that is there counts. Layer 0 stands for all of them; one
// that differs has a missing or an unused tensor, and both are refused.
void Reader::read_biases(ModelDescription& out) const {
  const auto has = [&](const char* name) {
    return file_.tensor(fmt::format("blk.0.{}.bias", name)).has_value();
  };
  const bool is_bloom = architecture_ == "bloom";
  out.qkv_bias = is_bloom || architecture_ == "qwen2" || has("attn_q");
  out.attention_output_bias = is_bloom || has("attn_output");
  out.mlp_bias = is_bloom || has("ffn_down");
}

void Reader::read_special_ids(ModelConfig& model) const {
  const auto id_of = [&](const char* name) -> int32_t {
    const int64_t id = file_.integer_or(fmt::format("tokenizer.ggml.{}_token_id", name), -1);
    return id < 0 || id >= model.vocab_size ? -1 : static_cast<int32_t>(id);
  };
  for (const char* name : {"eos", "eot", "eom"}) {
    const int32_t id = id_of(name);
    auto& ids = model.end_of_text_ids;
    if (id >= 0 && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  model.begin_of_text_id = id_of("bos");
}

ModelDescription Reader::read() {
  const std::array<std::string, 4> known = {"llama", "qwen2", "qwen3", "bloom"};
  if (std::find(known.begin(), known.end(), architecture_) == known.end()) {
    throw unknown_name("architecture", architecture_, known,
                       file_.path() + ": key 'general.architecture'");
  }
  check_keys();
  ModelDescription out;
  ModelConfig& model = out.config;
  model.family = architecture_;
  read_shape(model);
  model.tied_head = !file_.tensor("output.weight").has_value();
  read_biases(out);
  read_special_ids(model);
  finish_description(out, file_.path());
  const int64_t window = file_.integer_or(key("attention.sliding_window"), 0);
  if (architecture_ == "bloom") {
    if (window != 0) refuse("attention.sliding_window", "not supported for this architecture");
    if (model.num_kv_heads != model.num_heads) {
      refuse("attention.head_count_kv", "not supported for this architecture");
    }
    model.norm = NormKind::kLayerNorm;
    model.norm_epsilon = file_.number(key("attention.layer_norm_epsilon"));
    model.position = PositionKind::kAlibi;
    model.mlp = MlpKind::kPlain;
    model.activation = Activation::kGeluTanh;
    model.embedding_norm = true;
  } else {
    model.norm_epsilon = file_.number(key("attention.layer_norm_rms_epsilon"));
    model.max_positions = size("context_length");
    model.qk_norm = architecture_ == "qwen3";
    model.rope = read_rope(model);
    if (window != 0) {
      // Mistral's; Qwen's files would have to say in which layers.
      if (architecture_ != "llama" || window < 0) {
        refuse("attention.sliding_window", "not supported for this architecture",
               std::to_string(window));
      }
      model.attention_window.assign(model.num_layers, size("attention.sliding_window"));
    }
  }
  finish_description(out, file_.path());
  return out;
}

}  // namespace

ModelDescription read_gguf_config(const GgufFile& file) { return Reader(file).read(); }

std::string GgufTable::where(std::string_view name) const {
  const auto place = file_.tensor_offset(name);
  if (!place) return file_.path();
  return fmt::format("{}: tensor '{}' at byte {}", file_.path(), name, *place);
}

}  // namespace skipbench
