#include "eval/probe/layer_statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/base/error.h"

namespace skipbench {
namespace {

// Rows of logits at once: [rows, vocab] f32 of a large vocabulary is what fills memory.
constexpr size_t kLogitRows = 64;

double angle(double cosine) { return std::acos(std::clamp(cosine, -1.0, 1.0)) / std::numbers::pi; }

std::span<const float> row_of(const std::vector<float>& states, size_t row, size_t width) {
  return std::span(states).subspan(row * width, width);
}

}  // namespace

double cosine(std::span<const float> a, std::span<const float> b) {
  double dot = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    dot += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return aa > 0 && bb > 0 ? dot / std::sqrt(aa * bb) : 0.0;
}

LayerProbe::LayerProbe(Model& model, std::span<const ScoreRequest> texts, int64_t batch,
                       std::function<void()> on_pass)
    : model_(model),
      texts_(texts),
      batch_(static_cast<size_t>(batch)),
      on_pass_(std::move(on_pass)),
      num_layers_(model.config().num_layers) {
  if (texts.empty()) {
    throw Error({.what = "no text to measure layers on", .expected = "at least one"});
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    check_tokens(texts[i].prompt, model.config(), fmt::format("text {}, prompt", i));
    check_tokens(texts[i].continuation, model.config(), fmt::format("text {}, continuation", i));
  }
}

std::span<const ScoreRequest> LayerProbe::batch_texts(size_t begin) const {
  return texts_.subspan(begin, std::min(batch_, texts_.size() - begin));
}

void LayerProbe::begin_pass(std::span<const ScoreRequest> texts) {
  tokens_.clear(), sequences_.clear(), positions_.clear(), last_rows_.clear();
  predicting_rows_.clear(), targets_.clear();
  for (size_t s = 0; s < texts.size(); ++s) {
    const TokenIds &prompt = texts[s].prompt, &continuation = texts[s].continuation;
    for (const TokenIds* part : {&prompt, &continuation}) {
      for (const int32_t token : *part) {
        if (part == &continuation) {
          predicting_rows_.push_back(static_cast<int32_t>(tokens_.size()) - 1);
          targets_.push_back(token);
        }
        tokens_.push_back(token);
      }
    }
    const size_t length = prompt.size() + continuation.size();
    sequences_.insert(sequences_.end(), length, static_cast<int32_t>(s));
    for (size_t p = 0; p < length; ++p) positions_.push_back(static_cast<int32_t>(p));
    last_rows_.push_back(static_cast<int32_t>(tokens_.size()) - 1);
  }
  model_.begin_pass(tokens_, sequences_, positions_);
}

std::unique_ptr<KvCache> LayerProbe::make_cache(std::span<const ScoreRequest> texts,
                                                const LayerSet& layers) {
  size_t longest = 0;
  for (const ScoreRequest& text : texts) {
    longest = std::max(longest, text.prompt.size() + text.continuation.size());
  }
  // No token follows, so that one transient layer does for all.
  return model_.cache({.sequences = std::ssize(texts),
                       .capacity = static_cast<int64_t>(longest),
                       .prefilled = layers,
                       .cached = LayerSet::none(num_layers_)});
}

void LayerProbe::run_layer(int layer, const LayerSet& layers, const KvCache& cache) {
  const Model::RowRange rows{0, std::ssize(tokens_)};
  if (layers.attention(layer)) model_.run_attention(layer, cache, rows);
  if (layers.mlp(layer)) model_.run_mlp(layer, rows);
}

void LayerProbe::measure_states(LayerScores& scores) {
  const auto layers = static_cast<size_t>(num_layers_);
  const auto width = static_cast<size_t>(model_.config().hidden_size);
  scores.block_influence.assign(layers, 0.0);
  scores.angular.clear();
  for (size_t n = 1; n <= layers; ++n) scores.angular.emplace_back(layers - n + 1, 0.0);
  const LayerSet all = LayerSet::all(num_layers_);
  double num_tokens = 0;
  for (size_t begin = 0; begin < texts_.size(); begin += batch_) {
    const auto texts = batch_texts(begin);
    begin_pass(texts);
    const auto cache = make_cache(texts, all);
    const Model::RowRange rows{0, std::ssize(tokens_)};
    std::vector<float> before, after;
    std::vector<std::vector<float>> last(texts.size());  // [N + 1, width] of each last token
    const auto keep_last = [&](const std::vector<float>& states) {
      for (size_t s = 0; s < texts.size(); ++s) {
        const auto row = row_of(states, static_cast<size_t>(last_rows_[s]), width);
        last[s].insert(last[s].end(), row.begin(), row.end());
      }
    };
    model_.read_hidden(rows, before);
    keep_last(before);
    for (size_t layer = 0; layer < layers; ++layer) {
      run_layer(static_cast<int>(layer), all, *cache);
      model_.read_hidden(rows, after);
      keep_last(after);
      for (size_t row = 0; row < tokens_.size(); ++row) {
        scores.block_influence[layer] +=
            1 - cosine(row_of(before, row, width), row_of(after, row, width));
      }
      std::swap(before, after);
    }
    for (const std::vector<float>& states : last) {
      for (size_t n = 1; n <= layers; ++n) {
        for (size_t start = 0; start + n <= layers; ++start) {
          scores.angular[n - 1][start] +=
              angle(cosine(row_of(states, start, width), row_of(states, start + n, width)));
        }
      }
    }
    num_tokens += static_cast<double>(tokens_.size());
    if (on_pass_) on_pass_();
  }
  for (double& sum : scores.block_influence) sum /= num_tokens;
  for (std::vector<double>& sums : scores.angular) {
    for (double& sum : sums) sum /= static_cast<double>(texts_.size());
  }
}

void LayerProbe::measure_sublayers(LayerScores& scores) {
  const auto layers = static_cast<size_t>(num_layers_);
  const auto width = static_cast<size_t>(model_.config().hidden_size);
  const auto norm_of = [](std::span<const float> row) {
    double sum = 0;
    for (const float x : row) sum += static_cast<double>(x) * x;
    return std::sqrt(sum);
  };
  for (SublayerScores* kind : {&scores.attention, &scores.mlp}) {
    kind->similarity.assign(layers, 0.0);
    kind->norm_ratio.assign(layers, 0.0);
  }
  double num_tokens = 0;
  for (size_t begin = 0; begin < texts_.size(); begin += batch_) {
    begin_pass(batch_texts(begin));
    const auto cache = make_cache(batch_texts(begin), LayerSet::all(num_layers_));
    const Model::RowRange rows{0, std::ssize(tokens_)};
    std::vector<float> before, after;
    model_.read_hidden(rows, before);
    const auto add = [&](SublayerScores& sums, size_t layer) {
      model_.read_hidden(rows, after);
      for (size_t row = 0; row < tokens_.size(); ++row) {
        const auto in = row_of(before, row, width);
        const auto out = row_of(after, row, width);
        sums.similarity[layer] += cosine(in, out);
        const double norm = norm_of(in);
        sums.norm_ratio[layer] += norm > 0 ? norm_of(out) / norm : 1.0;
      }
      std::swap(before, after);
    };
    for (size_t layer = 0; layer < layers; ++layer) {
      model_.run_attention(static_cast<int>(layer), *cache, rows);
      add(scores.attention, layer);
      model_.run_mlp(static_cast<int>(layer), rows);
      add(scores.mlp, layer);
    }
    num_tokens += static_cast<double>(tokens_.size());
    if (on_pass_) on_pass_();
  }
  for (SublayerScores* kind : {&scores.attention, &scores.mlp}) {
    for (double& sum : kind->similarity) sum /= num_tokens;
    for (double& sum : kind->norm_ratio) sum /= num_tokens;
  }
}

double LayerProbe::perplexity(const LayerSet& layers) {
  double loss = 0, count = 0;
  std::vector<double> log_probs;
  for (size_t begin = 0; begin < texts_.size(); begin += batch_) {
    const auto texts = batch_texts(begin);
    begin_pass(texts);
    const auto cache = make_cache(texts, layers);
    for (int layer = 0; layer < num_layers_; ++layer) run_layer(layer, layers, *cache);
    for (size_t row = 0; row < targets_.size(); row += kLogitRows) {
      const size_t rows = std::min(kLogitRows, targets_.size() - row);
      const Matrix logits = model_.logits(std::span(predicting_rows_).subspan(row, rows));
      model_.log_probs(logits, std::span(targets_).subspan(row, rows), log_probs);
      for (const double log_prob : log_probs) loss -= log_prob;
      count += static_cast<double>(rows);
    }
    if (on_pass_) on_pass_();
  }
  return std::exp(loss / count);
}

void LayerProbe::measure_perplexity(LayerScores& scores) {
  scores.perplexity.clear();
  for (int layer = 0; layer < num_layers_; ++layer) {
    LayerSet set = LayerSet::all(num_layers_);
    set.set_layer(layer, false);
    scores.perplexity.push_back(perplexity(set));
  }
}

void LayerProbe::extend_greedy(LayerScores& scores, const Pruning& pruning) {
  LayerSet left = LayerSet::all(num_layers_);
  for (const int layer : scores.greedy) left.set_layer(layer, false);
  while (std::ssize(scores.greedy) < pruning.count) {
    int best = -1;
    double least = 0;
    for (int layer = pruning.first; layer < num_layers_ - pruning.last; ++layer) {
      if (!left.any(layer)) continue;
      LayerSet trial = left;
      trial.set_layer(layer, false);
      const double perplexity_without = perplexity(trial);
      if (best >= 0 && !(perplexity_without < least)) continue;
      best = layer;
      least = perplexity_without;
    }
    left.set_layer(best, false);
    scores.greedy.push_back(best);
  }
}

void LayerProbe::measure(LayerScores& scores, const Pruning& pruning) {
  switch (pruning.score) {
    case LayerScore::kBlockInfluence:
    case LayerScore::kAngular:
      return measure_states(scores);
    case LayerScore::kPerplexity:
      return measure_perplexity(scores);
    case LayerScore::kGreedy:
      return extend_greedy(scores, pruning);
  }
}

}  // namespace skipbench
