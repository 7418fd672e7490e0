#include "engine/weights/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "engine/base/error.h"

namespace skipbench {
namespace {

class Counter {
 public:
  void add(const Weight& weight) {
    TypeCount& of_type = count_.matrices[weight.type];
    ++of_type.tensors;
    of_type.bytes += weight.bytes();
    count_.bytes += weight.bytes();
    count_.parameters += weight.rows * weight.cols;
  }

  void add(const Vector& vector) {
    if (vector.empty()) return;
    const auto size = static_cast<int64_t>(vector.size());
    ++count_.vectors.tensors;
    count_.vectors.bytes += size * static_cast<int64_t>(sizeof(float));
    count_.bytes += size * static_cast<int64_t>(sizeof(float));
    count_.parameters += size;
  }

  void add(const NormWeights& norm) {
    add(norm.gain);
    add(norm.bias);
  }

  void add(const Projection& projection) {
    for (const Weight& part : projection.parts) add(part);
    add(projection.bias);
  }

  void add_attention(const LayerWeights& layer) {
    add(layer.attention_norm);
    add(layer.qkv);
    add(layer.query_norm);
    add(layer.key_norm);
    add(layer.attention_output);
  }

  void add_mlp(const LayerWeights& layer) {
    add(layer.mlp_norm);
    add(layer.up);
    add(layer.down);
  }

  const WeightCount& count() const { return count_; }

 private:
  WeightCount count_;
};

void check_positive(const char* name, int64_t value) {
  if (value < 1) {
    throw Error({.what = fmt::format("{} out of range", name),
                 .expected = "a positive integer",
                 .got = std::to_string(value)});
  }
}

int64_t unused_bytes(const ModelWeights& weights, const std::vector<bool>& sublayers_run) {
  assert(sublayers_run.empty() || sublayers_run.size() == 2 * weights.layers.size());
  if (sublayers_run.empty()) return 0;
  Counter counter;
  for (size_t layer = 0; layer < weights.layers.size(); ++layer) {
    if (!sublayers_run[2 * layer]) counter.add_attention(weights.layers[layer]);
    if (!sublayers_run[2 * layer + 1]) counter.add_mlp(weights.layers[layer]);
  }
  return counter.count().bytes;
}

// Products of untrusted sizes are formed in floating point first, where they cannot overflow.
void check_addressable(double bytes) {
  if (bytes > 0x1p62) {
    throw Error({.what = "batch and context need more memory than can be addressed",
                 .got = fmt::format("{:.3g} bytes", bytes)});
  }
}

}  // namespace

WeightCount count_weights(const ModelWeights& weights) {
  Counter counter;
  counter.add(weights.embedding);
  counter.add(weights.embedding_norm);
  for (const LayerWeights& layer : weights.layers) {
    counter.add_attention(layer);
    counter.add_mlp(layer);
  }
  counter.add(weights.final_norm);
  const bool is_tied =
      !weights.head.parts.empty() && weights.head.parts.front().data == weights.embedding.data;
  if (!is_tied) counter.add(weights.head);
  return counter.count();
}

MemoryPlan plan_memory(const LoadedModel& model, const MemoryRequest& request) {
  const ModelConfig& config = model.config;
  check_positive("batch", request.batch);
  check_positive("context", request.context);
  if (config.max_positions > 0 && request.context > config.max_positions) {
    throw Error({.what = "context longer than the model's positions",
                 .expected = fmt::format("up to {}", config.max_positions),
                 .got = std::to_string(request.context)});
  }
  const int num_layers = config.num_layers;
  const auto is_in = [num_layers](const std::vector<bool>& set, int layer) {
    assert(set.empty() || std::ssize(set) == num_layers);
    return set.empty() || set[layer];
  };
  int64_t kept = 0;
  bool has_transient = false;
  for (int layer = 0; layer < num_layers; ++layer) {
    const bool is_kept = is_in(request.layers_kept, layer);
    kept += is_kept;
    has_transient |= !is_kept && is_in(request.layers_prefilled, layer);
  }
  const int64_t element = block_bytes(request.dtype);
  // Two hidden states (the stream and its norm), queries with keys and values, the attention's
  // output, the MLP's inner states; logits of the last rows in f32.
  const int64_t mlp_parts = config.mlp == MlpKind::kGated ? 2 : 1;
  const int64_t row_elements = 2 * int64_t{config.hidden_size} + config.qkv_rows() +
                               int64_t{config.num_heads} * config.head_dim +
                               mlp_parts * config.intermediate_size;
  // One layer more for the transient one and the presence bytes.
  const double kv_elements =
      2.0 * static_cast<double>(kept + 1) * config.num_kv_heads * config.head_dim;
  check_addressable(static_cast<double>(request.batch) *
                    (static_cast<double>(request.context) * element *
                         (kv_elements + static_cast<double>(row_elements)) +
                     4.0 * config.vocab_size));
  const int64_t rows = request.batch * request.context;
  const int64_t layer_kv = rows * 2 * config.num_kv_heads * config.head_dim * element;
  MemoryPlan plan;
  plan.weight_bytes = count_weights(model.weights).bytes;
  plan.unused_weight_bytes = unused_bytes(model.weights, request.sublayers_run);
  plan.kv_bytes = kept * layer_kv;
  plan.transient_kv_bytes = has_transient ? layer_kv : 0;
  plan.presence_bytes = request.with_presence ? kept * rows : 0;
  plan.activation_bytes = rows * row_elements * element +
                          request.batch * config.vocab_size * static_cast<int64_t>(sizeof(float));
  plan.total_bytes = plan.weight_bytes + plan.kv_bytes + plan.transient_kv_bytes +
                     plan.presence_bytes + plan.activation_bytes;
  return plan;
}

}  // namespace skipbench
