#include <fmt/format.h>

#include <algorithm>

#include "engine/weights/load.h"
#include "engine/weights/sha256.h"

namespace skipbench {
namespace {

constexpr int64_t kSampleBytes = 64 << 10;

// Every field that changes an output. Doubles in hexadecimal: exact, the same on every machine.
std::string description_text(const ModelConfig& c) {
  std::string text = fmt::format(
      "{} layers {} hidden {} heads {}/{} of {} mlp {} vocab {} positions {} norm {} {:a} "
      "position {} {} activation {} qkv {} flags {}{}{}{} scale {:a} rope {:a} {}",
      c.family, c.num_layers, c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim,
      c.intermediate_size, c.vocab_size, c.max_positions, static_cast<int>(c.norm), c.norm_epsilon,
      static_cast<int>(c.position), static_cast<int>(c.mlp), static_cast<int>(c.activation),
      static_cast<int>(c.qkv_layout), int{c.qk_norm}, int{c.embedding_norm},
      int{c.residual_after_norm}, int{c.tied_head}, c.attention_scale, c.rope.attention_factor,
      int{c.rope.interleaved});
  // libm's pow differs in the last bits between machines; the hash must not.
  for (const double f : c.rope.inverse_frequencies) text += fmt::format(" {:.6e}", f);
  text += fmt::format(" windows {} end {} begin {}", fmt::join(c.attention_window, ","),
                      fmt::join(c.end_of_text_ids, ","), c.begin_of_text_id);
  return text;
}

class Hasher {
 public:
  explicit Hasher(const ModelConfig& config) { sha_.update(description_text(config)); }

  void add(const Vector& vector) {
    sha_.update(fmt::format("vector {}\n", vector.size()));
    sha_.update(std::as_bytes(std::span(vector)));
  }

  void add(const NormWeights& norm) {
    add(norm.gain);
    add(norm.bias);
  }

  // Small tensors whole, large ones at their beginning, middle and end.
  void add(const Weight& weight) {
    if (weight.fill.begin != nullptr) {  // no contents here: what they are made of
      sha_.update(fmt::format("{} {} {} random {:x} {:a} at {}\n", dtype_name(weight.type),
                              weight.rows, weight.cols, weight.fill.stream, weight.fill.deviation,
                              weight.data - weight.fill.begin));
      return;
    }
    const std::span<const std::byte> bytes(weight.data, static_cast<size_t>(weight.bytes()));
    sha_.update(fmt::format("{} {} {}\n", dtype_name(weight.type), weight.rows, weight.cols));
    if (weight.bytes() <= 3 * kSampleBytes) {
      sha_.update(bytes);
      return;
    }
    sha_.update(bytes.first(kSampleBytes));
    sha_.update(bytes.subspan((bytes.size() - kSampleBytes) / 2, kSampleBytes));
    sha_.update(bytes.last(kSampleBytes));
  }

  void add(const Projection& projection) {
    for (const Weight& part : projection.parts) add(part);
    add(projection.bias);
  }

  std::string hex_digest() { return sha_.hex_digest(); }

 private:
  Sha256 sha_;
};

}  // namespace

std::string model_hash(const LoadedModel& model) {
  Hasher hasher(model.config);
  const ModelWeights& weights = model.weights;
  hasher.add(weights.embedding);
  hasher.add(weights.embedding_norm);
  for (const LayerWeights& layer : weights.layers) {
    hasher.add(layer.attention_norm);
    hasher.add(layer.qkv);
    hasher.add(layer.query_norm);
    hasher.add(layer.key_norm);
    hasher.add(layer.attention_output);
    hasher.add(layer.mlp_norm);
    hasher.add(layer.up);
    hasher.add(layer.down);
  }
  hasher.add(weights.final_norm);
  hasher.add(weights.head);
  return hasher.hex_digest();
}

}  // namespace skipbench
