#include "eval/cost_model.h"

#include <algorithm>
#include <cmath>

namespace skipbench {
namespace {

// Turns bytes and FLOPs of operations into seconds.
struct Roofline {
  MeasuredPeaks peaks;
  double rows;
  double activation_bytes;  // of one element

  double seconds(double bytes, double flops) const {
    return std::max(bytes / peaks.read_bytes_per_second, flops / peaks.flops_per_second);
  }

  // A projection over all rows: its weights once, its input and output per row.
  double linear(double weight_bytes, double in, double out, double multiplied_rows) const {
    const double moved = weight_bytes + rows * (in + out) * activation_bytes;
    return seconds(moved, 2.0 * rows * in * multiplied_rows);
  }
  double linear(const Projection& projection, double out) const {
    double bytes = 4.0 * static_cast<double>(projection.bias.size());
    for (const Weight& part : projection.parts) bytes += static_cast<double>(part.bytes());
    return linear(bytes, static_cast<double>(projection.cols()), out,
                  static_cast<double>(projection.rows()));
  }
};

// Attention reads keys and values of every position and multiplies twice with each query head.
double attend_seconds(const Roofline& roof, const ModelConfig& config, double context) {
  const double kv_bytes =
      2.0 * context * config.num_kv_heads * config.head_dim * roof.activation_bytes;
  const double query_bytes = 2.0 * config.num_heads * config.head_dim * roof.activation_bytes;
  const double flops = 4.0 * context * config.num_heads * config.head_dim;
  return roof.seconds(roof.rows * (kv_bytes + query_bytes), roof.rows * flops);
}

}  // namespace

CostModel::CostModel(const LoadedModel& model, DType activations, MeasuredPeaks peaks,
                     StepShape shape) {
  const ModelConfig& config = model.config;
  const Roofline roof{peaks, static_cast<double>(shape.rows),
                      static_cast<double>(block_bytes(activations))};
  const double hidden = config.hidden_size;
  for (int i = 0; i < config.num_layers; ++i) {
    const LayerWeights& weights = model.weights.layers[i];
    const int window = config.attention_window.empty() ? 0 : config.attention_window[i];
    const double context = window > 0 ? std::min<double>(window, shape.context) : shape.context;
    LayerSeconds seconds;
    const double qkv = roof.linear(weights.qkv, config.qkv_rows());
    seconds.attention =
        qkv + attend_seconds(roof, config, context) + roof.linear(weights.attention_output, hidden);
    seconds.mlp =
        roof.linear(weights.up, config.intermediate_size) + roof.linear(weights.down, hidden);
    const double kv_share = 2.0 * config.num_kv_heads * config.head_dim / config.qkv_rows();
    seconds.key_value_projection = qkv * kv_share;
    layers_.push_back(seconds);
  }
  const Weight& embedding = model.weights.embedding;
  const double embedding_row = static_cast<double>(bytes_of(embedding.type, embedding.cols));
  embed_seconds_ = roof.seconds(roof.rows * (embedding_row + hidden * roof.activation_bytes), 0);
  head_seconds_ = roof.linear(model.weights.head, config.vocab_size);
}

double CostModel::step_seconds(const LayerSet& layers, KvPolicy kv) const {
  double sum = embed_seconds_ + head_seconds_;
  for (int i = 0; i < layers.num_layers(); ++i) {
    if (layers.attention(i)) {
      sum += layers_[i].attention;
    } else if (kv == KvPolicy::kProject) {
      sum += layers_[i].key_value_projection;
    }
    if (layers.mlp(i)) sum += layers_[i].mlp;
  }
  return sum;
}

double CostModel::static_seconds(const SkipStrategy& strategy, int steps) const {
  const int num_layers = static_cast<int>(layers_.size());
  double sum = 0;
  for (int t = 0; t < steps; ++t) {
    sum += step_seconds(strategy.step_layers(num_layers, t), strategy.kv_policy());
  }
  return sum / std::max(1, steps);
}

double CostModel::seconds_without_mlps(std::span<const LayersPerToken> layers, KvPolicy kv) const {
  double mlps = 0, missing = 0, tokens = 0;
  for (const LayerSeconds& layer : layers_) mlps += layer.mlp;
  for (const LayersPerToken& output : layers) {
    for (size_t t = 1; t < output.size(); ++t) {
      missing += 2 * (static_cast<double>(layers_.size()) - output[t]);
      ++tokens;
    }
  }
  const double all = step_seconds(LayerSet::all(static_cast<int>(layers_.size())), kv);
  if (tokens == 0) return all;
  return all - missing / tokens * mlps / static_cast<double>(layers_.size());
}

double CostModel::dynamic_seconds(std::span<const LayersPerToken> layers,
                                  double exit_tests_per_token, const SkipRule& rule,
                                  KvPolicy kv) const {
  if (rule.action == RuleAction::kSkipMlps) return seconds_without_mlps(layers, kv);
  const int num_layers = static_cast<int>(layers_.size());
  // seconds_of[n]: the first n layers, and what the policy leaves to the others.
  std::vector<double> seconds_of(num_layers + 1);
  for (int n = 0; n <= num_layers; ++n) {
    LayerSet set = LayerSet::none(num_layers);
    for (int i = 0; i < n; ++i) set.set_layer(i, true);
    seconds_of[n] = step_seconds(set, kv) - head_seconds_;
  }
  double sum = 0, tokens = 0, full_depth = 0;
  for (const LayersPerToken& output : layers) {
    for (size_t t = 1; t < output.size(); ++t) {
      const int n = std::clamp(static_cast<int>(std::lround(output[t])), 0, num_layers);
      sum += seconds_of[n];
      full_depth += n == num_layers ? 1 : 0;
      ++tokens;
    }
  }
  if (tokens == 0) return step_seconds(LayerSet::all(num_layers), kv);
  if (rule.signal == ExitSignal::kCosine) return sum / tokens + head_seconds_;
  return sum / tokens + head_seconds_ * (exit_tests_per_token + full_depth / tokens);
}

}  // namespace skipbench
