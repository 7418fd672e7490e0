// A transformer over a Backend: the pass over packed rows, layer by layer. Written once for every
// device and family; which layers run is the caller's decision.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/backend.h"
#include "engine/kv_cache.h"
#include "engine/layer_counter.h"
#include "engine/weights/weight.h"

namespace skipbench {

class Model {
 public:
  // Keeps references: `loaded` and `backend` outlive the model. Throws Error where the weights are
  // the device's to make and it makes none.
  Model(const LoadedModel& loaded, Backend& backend);
  ~Model() { backend_.forget_weights(); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelConfig& config() const { return config_; }
  const LoadedModel& loaded() const { return loaded_; }
  Backend& backend() { return backend_; }

  // A cache for a batch. An asynchronous device keeps the memory of the last one, so that a batch
  // of the same size has the same addresses and recordings of its steps stay good.
  std::unique_ptr<KvCache> cache(const KvCacheShape& shape);
  // Frees that memory; false where there was none, or a batch is using it.
  bool release_idle_memory();

  // Starts a pass: uploads the rows (host arrays, all of one length) and embeds them.
  void begin_pass(std::span<const int32_t> tokens, std::span<const int32_t> sequences,
                  std::span<const int32_t> positions);

  // Starts a pass over rows whose table the device has already.
  void begin_pass(const RowTable& rows);

  // Rows of the pass are addressed as [begin, begin + count).
  struct RowRange {
    int64_t begin = 0;
    int64_t count = 0;
  };

  // Sublayers of one layer on a range of rows, reading and writing the cache; each call is counted.
  void run_attention(int layer, const KvCache& cache, RowRange rows);
  void run_mlp(int layer, RowRange rows);
  // What the rows have run since the pass began. A row's count moves with it (permute_rows) and is
  // kept and brought back with its state (keep_states, not by a flag on the device: keep_rows).
  const LayerCounter& counter() const { return counter_; }
  // Writes key and value of the rows' hidden states without running the layer (KvPolicy::kProject).
  void project_kv(int layer, const KvCache& cache, RowRange rows);

  // The rows' hidden states times `factor` (SkipStrategy::skip_scales).
  void scale_rows(float factor, RowRange rows);

  // Keeps the rows' hidden states; brings them back; compares them with what stands there now:
  // out[i] is the cosine of row rows.begin + i. Between them the pass keeps its order of rows.
  void keep_states(RowRange rows);
  void bring_back_states(RowRange rows);
  void cosines_with_kept(RowRange rows, std::vector<double>& out);

  // Keeps the hidden states of rows with flag[row] == 1, and brings back those of rows with 0.
  // `flag`: [rows], device.
  void keep_rows(const int32_t* flag);
  void bring_back_rows(const int32_t* flag);

  // Reorders the pass: new row i is old row order[i]. As many entries as rows.
  void permute_rows(std::span<const int32_t> order);

  // Final norm and head of the given rows of the pass; result [rows.size(), vocab] f32 on the
  // device, valid until the next call. Rows is a list so that a prefill asks for last rows only.
  Matrix logits(std::span<const int32_t> rows);

  // The same for all rows of the pass, in order.
  Matrix logits();

  // How tokens are drawn; an entry per row of logits, on the device or the host.
  struct Draws {
    Sampling sampling;
    const int32_t* text = nullptr;
    const int32_t* position = nullptr;
  };

  // Queues the next-token facts of `logits`, [logits.rows] on the device, with the token drawn
  // where `draws` (device arrays) is not greedy; until the next call.
  const NextToken* next_tokens(const Matrix& logits, bool with_entropy, const Draws& draws);
  // Changes whenever a buffer that operations were given has moved.
  int64_t moves() const { return moves_; }
  // The rows' hidden states as they stand, f32 on the host, [rows.count, hidden_size]. After the
  // last layer that is before the final norm.
  void read_hidden(RowRange rows, std::vector<float>& out);
  // `logits` on the host, [rows, vocab].
  void read_logits(const Matrix& logits, std::vector<float>& out);

  // Reads `logits` back as next-token facts (`draws`: host arrays) or as the log-probabilities of
  // `targets`.
  void next_tokens(const Matrix& logits, bool with_entropy, const Draws& draws,
                   std::vector<NextToken>& out);
  void log_probs(const Matrix& logits, std::span<const int32_t> targets, std::vector<double>& out);

 private:
  struct GrowingBuffer {
    DeviceBuffer memory;
    size_t bytes = 0;
  };

  // What a sublayer's first projection reads and what its last one adds.
  struct SublayerInput {
    NormSpec norm;  // applied on the way in, or none where `in` is normed already
    Matrix in;
    Matrix residual;
  };

  void* grow(GrowingBuffer& buffer, size_t bytes);
  Matrix matrix(GrowingBuffer& buffer, DType type, int64_t rows, int64_t cols);
  void reserve_rows(int64_t rows);
  void upload_rows();
  void embed_rows();
  Matrix head(const Matrix& hidden);
  Matrix kept_states(RowRange rows);
  const int32_t* upload_index(std::span<const int32_t> index);
  void norm_rows(const NormWeights& weights, const Matrix& in, const Matrix& out);
  SublayerInput sublayer_input(const NormWeights& weights, RowRange rows);

  const LoadedModel& loaded_;
  const ModelConfig& config_;
  const ModelWeights& weights_;
  Backend& backend_;
  std::vector<Projection> key_value_;  // [num_layers], what project_kv computes

  std::shared_ptr<KvMemory> kv_memory_;
  int64_t moves_ = 0;

  std::vector<int32_t> host_rows_;  // tokens, sequences, positions of the pass, one after another
  std::vector<int32_t> host_scratch_;
  RowTable rows_;
  LayerCounter counter_;
  Matrix hidden_;    // [rows, hidden]
  Matrix normed_;    // [rows, hidden], only where a norm's output is also the residual
  Matrix qkv_;       // [rows, qkv_rows]
  Matrix attended_;  // [rows, num_heads * head_dim]
  Matrix inner_;     // [rows, intermediate]

  GrowingBuffer row_buffer_, hidden_buffer_, permuted_buffer_, kept_buffer_, normed_buffer_,
      qkv_buffer_, attended_buffer_, inner_buffer_, index_buffer_, selected_buffer_, logits_buffer_,
      next_token_buffer_, draws_buffer_, target_buffer_, log_prob_buffer_, cosine_buffer_;
};

}  // namespace skipbench
