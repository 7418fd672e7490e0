// Scores by which layers are removed from a model, and the order of removal that they give. They
// are measured by `skipbench probe` and on the calibration split of a sweep (eval/probe).
#pragma once

#include <string>
#include <vector>

#include "strategies/strategy.h"

namespace skipbench {

enum class LayerScore { kBlockInfluence, kAngular, kPerplexity, kGreedy };

// "block_influence", "angular", "perplexity", "greedy", in the enumeration's order.
const std::vector<std::string>& layer_score_names();

// Of every attention or every MLP, [N] each: the hidden state after the sublayer beside the one
// before it, mean over tokens of a prefill (He et al. 2025, "AdaSkip", arXiv 2501.02336).
struct SublayerScores {
  std::vector<double> similarity;  // cosine
  std::vector<double> norm_ratio;  // norm after / norm before
};

// What was measured; what was not is empty.
struct LayerScores {
  // [N]: 1 - mean over tokens of the cosine of a layer's input and output (Men et al. 2024,
  // "ShortGPT", arXiv 2403.03853, equation 1).
  std::vector<double> block_influence;
  // [n - 1][start], start in [0, N - n]: arccos(cosine) / pi of the states before layer `start` and
  // after layer start + n - 1, of the last token, mean over texts (Gromov et al. 2024, "The
  // Unreasonable Ineffectiveness of the Deeper Layers", arXiv 2403.17887, equation 5).
  std::vector<std::vector<double>> angular;
  // [N]: perplexity of the model without this one layer (Kim et al. 2024, "Shortened LLaMA", arXiv
  // 2402.02834, section 3.1).
  std::vector<double> perplexity;
  // Layers in the order of removal, each the one without which the model that is left has the least
  // perplexity (Song et al. 2024, "SLEB", arXiv 2402.09025, algorithm 1).
  std::vector<int> greedy;
  SublayerScores attention, mlp;
};

// What a pruning asks of the scores: `count` layers, none of the first `first` and last `last`.
struct Pruning {
  LayerScore score = LayerScore::kBlockInfluence;
  int count = 0;
  int first = 1;
  int last = 1;
};

// Of static_pruning with a `score` other than list. Throws Error for parameters out of range.
Pruning pruning_of(const StrategySpec& spec, int num_layers);

// The layers to remove, the first to go first; for kAngular one contiguous block. Ties go to the
// lower layer. Throws Error naming `where` unless the score was measured for `num_layers` layers.
std::vector<int> removal_order(const Pruning& pruning, const LayerScores& scores, int num_layers,
                               const std::string& where);

// The scores as JSON, and back: {"block_influence": [...], ...}, what was not measured left out.
// `source` names the text in errors.
std::string layer_scores_json(const LayerScores& scores);
LayerScores parse_layer_scores(const std::string& json, const std::string& source);

// "scores" of what `skipbench probe` prints. Throws Error naming `where` and the file.
LayerScores read_layer_scores(const std::string& path, const std::string& where);

}  // namespace skipbench
