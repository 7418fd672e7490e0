// The passes of one batch under a strategy: the prompts' prefill and the decoding steps, with the
// exit tests of a dynamic rule. Knows the cache and the layers that ran; not how tokens are chosen.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/decoder.h"

namespace skipbench {

// The cache that a batch under `strategy` needs; capacity: positions per sequence.
KvCacheShape cache_shape(const SkipStrategy& strategy, int num_layers, int64_t sequences,
                         int64_t capacity);

class BatchPass {
 public:
  // What a pass says about one sequence.
  struct Row {
    NextToken next;
    double log_prob = 0;  // of the target, where targets were given
    double layers = 0;    // run for this row, counted
  };

  // A decoding step's input, one entry per sequence that still runs. Arrays of one length.
  struct StepInput {
    std::span<const int32_t> sequences;
    std::span<const int32_t> tokens;
    std::span<const int32_t> targets;  // empty: no log-probabilities
  };

  // capacity: positions that the cache holds per sequence. The prompts are kept by reference.
  // `beams`: sequences per prompt; prompt i fills that of its first, sequence i * beams.
  BatchPass(Model& model, const SkipStrategy& strategy, std::span<const TokenIds> prompts,
            int64_t capacity, int beams = 1);

  // Tokens are drawn as the options say, and the prompts numbered; greedy without this.
  void draw(const GenerateOptions& options);
  // From now on a pass's logits are kept.
  void keep_logits() { keeps_logits_ = true; }
  // Of the last pass, [entries of its input, vocab] on the host; the caller may overwrite them.
  std::span<float> logits() { return logits_; }
  // Whose memory holds a position of a sequence from now on ([sequences, capacity], device).
  void share_positions(const int32_t* source) { cache_->share_positions(source); }
  // Positions that a sequence has, where it goes on from another one's.
  void set_length(int32_t sequence, int32_t length) { lengths_[sequence] = length; }
  // The prompts' numbers: what tells their draws and replayed exits apart. From 0 without this.
  void number_texts(std::span<const int32_t> texts) { texts_.assign(texts.begin(), texts.end()); }

  // All prompts in one pass; a row per sequence, about the token that follows its prompt.
  std::span<const Row> prefill(std::span<const int32_t> targets);

  // One token further for the given sequences; step counts from 0. Results in the input's order.
  std::span<const Row> step(int step, const StepInput& input);

  // Called after each layer of every pass, also one that no row ran, with the entry of the input
  // that each row of the pass belongs to (prefill: empty; rows are the prompts' tokens). A row that
  // has exited keeps the state of its exit.
  void observe_layers(std::function<void(int layer, std::span<const int32_t> entries)> observer) {
    observer_ = std::move(observer);
  }

  double exit_test_us() const { return exit_test_us_; }
  int64_t exit_tests() const { return exit_tests_; }
  const KvCache& cache() const { return *cache_; }
  // Positions that are filled, per sequence.
  std::span<const int32_t> lengths() const { return lengths_; }

 private:
  void run_layer(int layer, const LayerSet& set, Model::RowRange rows);
  void step_with_rule(const SkipRule& rule, int step, const StepInput& input);
  void step_skipping_mlps(const SkipRule& rule, int step, const StepInput& input);
  template <typename Run>
  void run_beside_done_rows(const SkipRule& rule, int64_t needed, const Run& run);
  template <typename Stops>
  int64_t move_settled_behind(int64_t running, const Stops& stops);
  int64_t move_leaving_behind();
  // Into rows_ what the model has counted for each row of the pass.
  void note_layers();
  template <typename Stops>
  int64_t move_exits_behind(int64_t running, const Stops& stops, const StepInput& input);
  // `entries` name, per row of logits, the entry of rows_ and of targets that it belongs to.
  void record_next(std::span<const int32_t> entries, const Matrix& logits);
  // Throws Error for a row without a finite logit: its token would mean nothing.
  void check_next(std::span<const int32_t> entries) const;
  void record_log_probs(std::span<const int32_t> entries, const Matrix& logits,
                        std::span<const int32_t> targets);
  void record(std::span<const int32_t> entries, const Matrix& logits,
              std::span<const int32_t> targets);

  Model& model_;
  const SkipStrategy& strategy_;
  std::span<const TokenIds> prompts_;
  const GenerateOptions* draws_ = nullptr;
  int num_layers_;
  int beams_;
  bool keeps_logits_ = false;
  std::vector<float> logits_;
  std::unique_ptr<KvCache> cache_;
  std::vector<int32_t> texts_;    // [sequences], their numbers
  std::vector<int32_t> lengths_;  // [sequences], positions that are filled

  std::span<const int32_t> sequences_;  // of the input; empty: the prefill, entry i is sequence i
  std::vector<Row> rows_;               // the result, per entry of the input
  std::vector<int32_t> order_;          // pass row -> entry of the input; running rows first
  std::vector<int32_t> next_order_;
  std::vector<int32_t> pass_index_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> row_list_;
  std::vector<int32_t> row_targets_;
  std::vector<NextToken> next_tokens_;
  std::vector<int32_t> draw_texts_;
  std::vector<int32_t> draw_positions_;
  std::vector<double> log_probs_;
  std::vector<double> cosines_;
  std::vector<bool> leaves_;
  std::function<void(int layer, std::span<const int32_t> entries)> observer_;
  double exit_test_us_ = 0;
  int64_t exit_tests_ = 0;
};

}  // namespace skipbench
