#include "engine/weights/model_description.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/base/error.h"

namespace skipbench {
namespace {

constexpr int kMaxLayers = 256;  // of a LayerSet (strategies/layer_set.h)
// Far above any real model; they keep products of two sizes inside 63 bits.
constexpr int kMaxHidden = 1 << 24;
constexpr int kMaxHeads = 1 << 16;
constexpr int kMaxHeadDim = 256;  // the attention kernels' limit
constexpr int kMaxVocab = 1 << 28;

}  // namespace

void finish_description(ModelDescription& description, const std::string& where) {
  ModelConfig& config = description.config;
  const auto in_range = [&](const char* name, int value, int limit) {
    if (value < 1 || value > limit) {
      throw Error({.what = fmt::format("{} out of range", name),
                   .where = where,
                   .expected = fmt::format("1 to {}", limit),
                   .got = std::to_string(value)});
    }
  };
  in_range("number of layers", config.num_layers, kMaxLayers);
  in_range("hidden size", config.hidden_size, kMaxHidden);
  in_range("number of heads", config.num_heads, kMaxHeads);
  in_range("number of key/value heads", config.num_kv_heads, kMaxHeads);
  in_range("head size", config.head_dim, kMaxHeadDim);
  in_range("intermediate size", config.intermediate_size, kMaxHidden);
  in_range("vocabulary size", config.vocab_size, kMaxVocab);
  if (config.num_heads % config.num_kv_heads != 0) {
    throw Error({.what = "the number of heads is no multiple of the number of key/value heads",
                 .where = where,
                 .got = fmt::format("{} and {}", config.num_heads, config.num_kv_heads)});
  }
  if (!(std::isfinite(config.norm_epsilon) && config.norm_epsilon >= 0)) {
    throw Error({.what = "bad epsilon of the norms",
                 .where = where,
                 .expected = "a number that is not negative",
                 .got = fmt::format("{}", config.norm_epsilon)});
  }
  if (config.attention_scale == 0) config.attention_scale = 1 / std::sqrt(config.head_dim);
  if (!(std::isfinite(config.attention_scale) && config.attention_scale > 0)) {
    throw Error({.what = "bad attention scale",
                 .where = where,
                 .expected = "a positive number",
                 .got = fmt::format("{}", config.attention_scale)});
  }
  config.attention_window.resize(config.num_layers, 0);
  // An id outside the vocabulary is never generated, so it ends nothing; some files use -1 for
  // "none".
  std::erase_if(config.end_of_text_ids,
                [&](int32_t id) { return id < 0 || id >= config.vocab_size; });
  if (config.begin_of_text_id >= config.vocab_size || config.begin_of_text_id < -1) {
    config.begin_of_text_id = -1;
  }
}

}  // namespace skipbench
