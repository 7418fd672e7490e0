// Measures the scores by which layers are removed (strategies/layer_scores.h), on texts that the
// whole model reads in one pass each.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/decoder.h"
#include "strategies/layer_scores.h"

namespace skipbench {

class LayerProbe {
 public:
  // Texts of prompt and continuation; what is predicted, and so counts in a perplexity, is the
  // continuation. `batch` texts make a pass. `on_pass` is called after each (progress, ^C through
  // an exception). Keeps references. Throws Error for texts that check_tokens refuses or none at
  // all.
  LayerProbe(Model& model, std::span<const ScoreRequest> texts, int64_t batch,
             std::function<void()> on_pass = {});

  // block_influence (mean over all tokens) and angular (last tokens) from one reading.
  void measure_states(LayerScores& scores);
  // attention and mlp from one reading: means over all tokens.
  void measure_sublayers(LayerScores& scores);
  // perplexity: N readings.
  void measure_perplexity(LayerScores& scores);
  // Lengthens scores.greedy to `pruning.count` layers, as many readings per layer as can go.
  void extend_greedy(LayerScores& scores, const Pruning& pruning);
  // What `pruning` needs.
  void measure(LayerScores& scores, const Pruning& pruning);

  // exp of the mean negative log-likelihood of the continuations' tokens under these layers, the
  // others gone for prompts too.
  double perplexity(const LayerSet& layers);

 private:
  std::span<const ScoreRequest> batch_texts(size_t begin) const;
  void begin_pass(std::span<const ScoreRequest> texts);
  void run_layer(int layer, const LayerSet& layers, const KvCache& cache);
  std::unique_ptr<KvCache> make_cache(std::span<const ScoreRequest> texts, const LayerSet& layers);

  Model& model_;
  std::span<const ScoreRequest> texts_;
  size_t batch_;
  std::function<void()> on_pass_;
  int num_layers_;
  // Of the pass: all tokens of its texts one after another.
  std::vector<int32_t> tokens_, sequences_, positions_, last_rows_;
  std::vector<int32_t> predicting_rows_, targets_;  // rows whose next token is in a continuation
};

// 0 where one of them is all zero.
double cosine(std::span<const float> a, std::span<const float> b);

}  // namespace skipbench
