#include "engine/model.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

#include "engine/base/error.h"

namespace skipbench {

namespace {

// The key and value rows of a fused or split projection. Interleaved heads (QkvLayout::kPerHead)
// have no such part: the whole projection is computed there.
Projection key_value_part(const ModelConfig& config, const Projection& qkv) {
  if (config.qkv_layout == QkvLayout::kPerHead) return qkv;
  const int64_t query_rows = int64_t{config.num_heads} * config.head_dim;
  Projection part;
  int64_t row = 0;
  for (Weight weight : qkv.parts) {
    const int64_t skipped = std::clamp<int64_t>(query_rows - row, 0, weight.rows);
    row += weight.rows;
    if (skipped == weight.rows) continue;
    weight.data += skipped * bytes_of(weight.type, weight.cols);
    weight.rows -= skipped;
    part.parts.push_back(weight);
  }
  if (!qkv.bias.empty()) part.bias.assign(qkv.bias.begin() + query_rows, qkv.bias.end());
  return part;
}

}  // namespace

Model::Model(const LoadedModel& loaded, Backend& backend)
    : loaded_(loaded), config_(loaded.config), weights_(loaded.weights), backend_(backend) {
  if (weights_.embedding.fill.begin != nullptr && !backend.makes_random_weights()) {
    throw Error({.what = "this device makes no weights",
                 .where = loaded.path,
                 .got = "--device " + backend.name(),
                 .hint = "synthetic: in place of device-synthetic: makes them on the host"});
  }
  for (const LayerWeights& layer : weights_.layers) {
    key_value_.push_back(key_value_part(config_, layer.qkv));
  }
}

std::unique_ptr<KvCache> Model::cache(const KvCacheShape& shape) {
  const auto make = [&](std::shared_ptr<KvMemory> memory) {
    return std::make_unique<KvCache>(config_, backend_, shape, std::move(memory));
  };
  const bool is_used = kv_memory_ != nullptr && kv_memory_.use_count() > 1;
  if (!backend_.is_asynchronous() || is_used) {
    return make(make_kv_memory(config_.num_layers, shape));
  }
  if (kv_memory_ == nullptr || kv_memory_->sequences != shape.sequences ||
      kv_memory_->capacity != shape.capacity) {
    kv_memory_.reset();  // before the new memory is asked for
    kv_memory_ = make_kv_memory(config_.num_layers, shape);
  }
  return make(kv_memory_);
}

bool Model::release_idle_memory() {
  if (kv_memory_ == nullptr || kv_memory_.use_count() > 1) return false;
  kv_memory_.reset();
  return true;
}

void* Model::grow(GrowingBuffer& buffer, size_t bytes) {
  if (buffer.bytes < bytes) {
    buffer.memory = backend_.allocate(bytes);
    buffer.bytes = bytes;
    ++moves_;
  }
  return buffer.memory.get();
}

Matrix Model::matrix(GrowingBuffer& buffer, DType type, int64_t rows, int64_t cols) {
  void* data = grow(buffer, static_cast<size_t>(bytes_of(type, rows * cols)));
  return {.data = data, .type = type, .rows = rows, .cols = cols, .stride = cols};
}

void Model::reserve_rows(int64_t rows) {
  const DType type = backend_.activation_type();
  hidden_ = matrix(hidden_buffer_, type, rows, config_.hidden_size);
  qkv_ = matrix(qkv_buffer_, type, rows, config_.qkv_rows());
  attended_ = matrix(attended_buffer_, type, rows, int64_t{config_.num_heads} * config_.head_dim);
  inner_ = matrix(inner_buffer_, type, rows, config_.intermediate_size);
  if (config_.residual_after_norm) {
    normed_ = matrix(normed_buffer_, type, rows, config_.hidden_size);
  }
}

void Model::upload_rows() {
  const int64_t rows = std::ssize(host_rows_) / 3;
  auto* device = static_cast<int32_t*>(grow(row_buffer_, host_rows_.size() * sizeof(int32_t)));
  backend_.upload(device, host_rows_.data(), host_rows_.size() * sizeof(int32_t));
  const auto sequences = std::span(host_rows_).subspan(static_cast<size_t>(rows));
  const auto end = sequences.begin() + rows;
  rows_ = {rows, device, device + rows, device + 2 * rows,
           std::adjacent_find(sequences.begin(), end) == end};
}

void Model::begin_pass(std::span<const int32_t> tokens, std::span<const int32_t> sequences,
                       std::span<const int32_t> positions) {
  assert(!tokens.empty() && tokens.size() == sequences.size() && tokens.size() == positions.size());
  host_rows_.assign(tokens.begin(), tokens.end());
  host_rows_.insert(host_rows_.end(), sequences.begin(), sequences.end());
  host_rows_.insert(host_rows_.end(), positions.begin(), positions.end());
  reserve_rows(std::ssize(tokens));
  upload_rows();
  embed_rows();
}

void Model::begin_pass(const RowTable& rows) {
  host_rows_.clear();
  reserve_rows(rows.rows);
  rows_ = rows;
  embed_rows();
}

void Model::embed_rows() {
  counter_.begin(config_.num_layers, rows_.rows);
  backend_.embed({.rows = rows_, .embedding = &weights_.embedding, .out = hidden_});
  if (config_.embedding_norm) norm_rows(weights_.embedding_norm, hidden_, hidden_);
}

void Model::norm_rows(const NormWeights& weights, const Matrix& in, const Matrix& out) {
  backend_.norm({.kind = config_.norm,
                 .epsilon = config_.norm_epsilon,
                 .weights = &weights,
                 .in = in,
                 .out = out});
}

Model::SublayerInput Model::sublayer_input(const NormWeights& weights, RowRange rows) {
  const Matrix hidden = hidden_.slice_rows(rows.begin, rows.count);
  if (!config_.residual_after_norm) {
    return {{config_.norm, config_.norm_epsilon, &weights}, hidden, hidden};
  }
  const Matrix normed = normed_.slice_rows(rows.begin, rows.count);
  norm_rows(weights, hidden, normed);
  return {{}, normed, normed};
}

void Model::run_attention(int layer, const KvCache& cache, RowRange rows) {
  const LayerWeights& weights = weights_.layers[layer];
  const SublayerInput input = sublayer_input(weights.attention_norm, rows);
  const RowTable table = rows_.slice(rows.begin, rows.count);
  const Matrix qkv = qkv_.slice_rows(rows.begin, rows.count);
  const Matrix attended = attended_.slice_rows(rows.begin, rows.count);
  backend_.linear(
      {.norm = input.norm, .projection = &weights.qkv, .in = input.in, .residual = {}, .out = qkv});
  backend_.append_kv({.config = &config_,
                      .layer = &weights,
                      .rows = table,
                      .qkv = qkv,
                      .cache = cache.layer(layer)});
  backend_.attend({.config = &config_,
                   .rows = table,
                   .qkv = qkv,
                   .cache = cache.layer(layer),
                   .window = config_.attention_window.empty() ? 0 : config_.attention_window[layer],
                   .out = attended});
  backend_.linear({.norm = {},
                   .projection = &weights.attention_output,
                   .in = attended,
                   .residual = input.residual,
                   .out = hidden_.slice_rows(rows.begin, rows.count)});
  counter_.attention_ran(layer, rows.begin, rows.count);
}

void Model::run_mlp(int layer, RowRange rows) {
  const LayerWeights& weights = weights_.layers[layer];
  const SublayerInput input = sublayer_input(weights.mlp_norm, rows);
  const Matrix inner = inner_.slice_rows(rows.begin, rows.count);
  backend_.linear(
      {.norm = input.norm,
       .projection = &weights.up,
       .epilogue = config_.mlp == MlpKind::kGated ? Epilogue::kGated : Epilogue::kActivate,
       .activation = config_.activation,
       .in = input.in,
       .residual = {},
       .out = inner});
  backend_.linear({.norm = {},
                   .projection = &weights.down,
                   .in = inner,
                   .residual = input.residual,
                   .out = hidden_.slice_rows(rows.begin, rows.count)});
  counter_.mlp_ran(layer, rows.begin, rows.count);
}

void Model::project_kv(int layer, const KvCache& cache, RowRange rows) {
  const LayerWeights& weights = weights_.layers[layer];
  const SublayerInput input = sublayer_input(weights.attention_norm, rows);
  const Matrix qkv = qkv_.slice_rows(rows.begin, rows.count);
  const Projection& projection = key_value_[layer];
  Matrix out = qkv;  // the last columns, where keys and values stand
  out.cols = projection.rows();
  out.data = static_cast<std::byte*>(out.data) + bytes_of(out.type, qkv.cols - out.cols);
  backend_.linear(
      {.norm = input.norm, .projection = &projection, .in = input.in, .residual = {}, .out = out});
  backend_.append_kv({.config = &config_,
                      .layer = &weights,
                      .rows = rows_.slice(rows.begin, rows.count),
                      .qkv = qkv,
                      .cache = cache.layer(layer),
                      .keys_and_values_only = true});
}

const int32_t* Model::upload_index(std::span<const int32_t> index) {
  void* device = grow(index_buffer_, index.size_bytes());
  backend_.upload(device, index.data(), index.size_bytes());
  return static_cast<const int32_t*>(device);
}

void Model::permute_rows(std::span<const int32_t> order) {
  const size_t rows = order.size();
  assert(rows * 3 == host_rows_.size());
  host_scratch_.resize(host_rows_.size());
  for (size_t field = 0; field < 3; ++field) {
    for (size_t i = 0; i < rows; ++i) {
      host_scratch_[field * rows + i] = host_rows_[field * rows + static_cast<size_t>(order[i])];
    }
  }
  std::swap(host_rows_, host_scratch_);
  upload_rows();
  const Matrix out = matrix(permuted_buffer_, hidden_.type, hidden_.rows, hidden_.cols);
  backend_.gather_rows({.in = hidden_, .index = upload_index(order), .out = out});
  std::swap(hidden_buffer_, permuted_buffer_);
  hidden_ = out;
  counter_.permute(order);
}

void Model::scale_rows(float factor, RowRange rows) {
  backend_.scale({.rows = hidden_.slice_rows(rows.begin, rows.count), .factor = factor});
}

Matrix Model::kept_states(RowRange rows) {
  const Matrix all = matrix(kept_buffer_, hidden_.type, hidden_.rows, hidden_.cols);
  return all.slice_rows(rows.begin, rows.count);
}

void Model::keep_states(RowRange rows) {
  backend_.copy_rows_if({.in = hidden_.slice_rows(rows.begin, rows.count),
                         .out = kept_states(rows),
                         .flag = nullptr});
  counter_.keep(rows.begin, rows.count);
}

void Model::bring_back_states(RowRange rows) {
  backend_.copy_rows_if({.in = kept_states(rows),
                         .out = hidden_.slice_rows(rows.begin, rows.count),
                         .flag = nullptr});
  counter_.bring_back(rows.begin, rows.count);
}

void Model::cosines_with_kept(RowRange rows, std::vector<double>& out) {
  out.resize(static_cast<size_t>(rows.count));
  const size_t bytes = out.size() * sizeof(double);
  auto* device = static_cast<double*>(grow(cosine_buffer_, bytes));
  backend_.cosine(
      {.a = kept_states(rows), .b = hidden_.slice_rows(rows.begin, rows.count), .out = device});
  backend_.download(out.data(), device, bytes);
}

void Model::keep_rows(const int32_t* flag) {
  backend_.copy_rows_if(
      {.in = hidden_, .out = kept_states({0, hidden_.rows}), .flag = flag, .value = 1});
}

void Model::bring_back_rows(const int32_t* flag) {
  backend_.copy_rows_if(
      {.in = kept_states({0, hidden_.rows}), .out = hidden_, .flag = flag, .value = 0});
}

Matrix Model::logits(std::span<const int32_t> rows) {
  const Matrix selected =
      matrix(selected_buffer_, hidden_.type, std::ssize(rows), config_.hidden_size);
  backend_.gather_rows({.in = hidden_, .index = upload_index(rows), .out = selected});
  return head(selected);
}

Matrix Model::logits() { return head(hidden_); }

Matrix Model::head(const Matrix& hidden) {
  const Matrix out = matrix(logits_buffer_, DType::kF32, hidden.rows, config_.vocab_size);
  backend_.linear({.norm = {config_.norm, config_.norm_epsilon, &weights_.final_norm},
                   .projection = &weights_.head,
                   .in = hidden,
                   .residual = {},
                   .out = out});
  return out;
}

void Model::read_hidden(RowRange rows, std::vector<float>& out) {
  const Matrix part = hidden_.slice_rows(rows.begin, rows.count);
  const auto count = static_cast<size_t>(part.rows * part.cols);
  out.resize(count);
  if (part.type == DType::kF32) {
    backend_.download(out.data(), part.data, count * sizeof(float));
    return;
  }
  std::vector<uint16_t> bits(count);
  backend_.download(bits.data(), part.data, count * sizeof(uint16_t));
  const auto widen = part.type == DType::kF16 ? f16_to_f32 : bf16_to_f32;
  std::transform(bits.begin(), bits.end(), out.begin(), widen);
}

void Model::read_logits(const Matrix& logits, std::vector<float>& out) {
  out.resize(static_cast<size_t>(logits.rows * logits.cols));
  backend_.download(out.data(), logits.data, out.size() * sizeof(float));
}

const NextToken* Model::next_tokens(const Matrix& logits, bool with_entropy, const Draws& draws) {
  const size_t bytes = static_cast<size_t>(logits.rows) * sizeof(NextToken);
  auto* device = static_cast<NextToken*>(grow(next_token_buffer_, bytes));
  backend_.next_token({.logits = logits, .with_entropy = with_entropy, .out = device});
  if (!draws.sampling.is_greedy()) {
    backend_.sample({logits, draws.sampling, draws.text, draws.position, device});
  }
  return device;
}

void Model::next_tokens(const Matrix& logits, bool with_entropy, const Draws& draws,
                        std::vector<NextToken>& out) {
  Draws on_device{draws.sampling};
  if (!draws.sampling.is_greedy()) {
    const size_t bytes = static_cast<size_t>(logits.rows) * sizeof(int32_t);
    auto* text = static_cast<int32_t*>(grow(draws_buffer_, 2 * bytes));
    backend_.upload(text, draws.text, bytes);
    backend_.upload(text + logits.rows, draws.position, bytes);
    on_device = {draws.sampling, text, text + logits.rows};
  }
  out.resize(static_cast<size_t>(logits.rows));
  backend_.download(out.data(), next_tokens(logits, with_entropy, on_device),
                    out.size() * sizeof(NextToken));
}

void Model::log_probs(const Matrix& logits, std::span<const int32_t> targets,
                      std::vector<double>& out) {
  assert(std::ssize(targets) == logits.rows);
  auto* target = static_cast<int32_t*>(grow(target_buffer_, targets.size_bytes()));
  backend_.upload(target, targets.data(), targets.size_bytes());
  out.resize(targets.size());
  const size_t bytes = out.size() * sizeof(double);
  auto* device = static_cast<double*>(grow(log_prob_buffer_, bytes));
  backend_.log_prob({.logits = logits, .target = target, .out = device});
  backend_.download(out.data(), device, bytes);
}

}  // namespace skipbench
