#include "eval/probe/divergence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/batch_pass.h"
#include "eval/probe/layer_statistics.h"

namespace skipbench {
namespace {

// One run of a batch, with the states and logits of its latest pass by entry.
class ObservedRun {
 public:
  ObservedRun(Model& model, const SkipStrategy& strategy, std::span<const TokenIds> prompts,
              int64_t capacity)
      : model_(model), pass_(model, strategy, prompts, capacity) {
    int32_t rows = 0;
    for (const TokenIds& prompt : prompts) {
      rows += static_cast<int32_t>(prompt.size());
      last_rows_.push_back(rows - 1);
    }
    states_.resize(static_cast<size_t>(model.config().num_layers));
    pass_.observe_layers([this](int layer, std::span<const int32_t> entries) {
      read(static_cast<size_t>(layer), entries);
    });
  }

  void prefill() { keep_layers(pass_.prefill({})); }
  void step(int step, const BatchPass::StepInput& input) { keep_layers(pass_.step(step, input)); }

  std::span<const float> state(size_t layer, size_t entry) const {
    return std::span(states_[layer]).subspan(entry * width(), width());
  }
  std::span<const float> logits(size_t entry) const {
    return std::span(logits_).subspan(entry * vocabulary(), vocabulary());
  }
  double layers(size_t entry) const { return layers_[entry]; }

 private:
  size_t width() const { return static_cast<size_t>(model_.config().hidden_size); }
  size_t vocabulary() const { return static_cast<size_t>(model_.config().vocab_size); }

  void keep_layers(std::span<const BatchPass::Row> rows) {
    layers_.clear();
    for (const BatchPass::Row& row : rows) layers_.push_back(row.layers);
  }

  // `entries`: of each row; empty in a prefill, where a prompt's last token speaks for it.
  void read(size_t layer, std::span<const int32_t> entries) {
    const bool is_prefill = entries.empty();
    std::vector<int32_t> rows = last_rows_;
    if (!is_prefill) {
      rows.resize(entries.size());
      for (size_t row = 0; row < entries.size(); ++row) rows[entries[row]] = static_cast<int>(row);
    }
    const int64_t read = is_prefill ? last_rows_.back() + 1 : std::ssize(entries);
    model_.read_hidden({0, read}, scratch_);
    states_[layer].clear();
    for (const int32_t row : rows) {
      const auto begin =
          scratch_.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(row) * width());
      states_[layer].insert(states_[layer].end(), begin, begin + static_cast<ptrdiff_t>(width()));
    }
    // The rows are final now, and the order in which their logits come is the entries'.
    if (layer + 1 == states_.size()) model_.read_logits(model_.logits(rows), logits_);
  }

  Model& model_;
  BatchPass pass_;
  std::vector<int32_t> last_rows_;
  std::vector<std::vector<float>> states_;  // [N] of [entries, width]
  std::vector<float> logits_;               // [entries, vocabulary]
  std::vector<float> scratch_;
  std::vector<double> layers_;
};

double norm(std::span<const float> values) {
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  return std::sqrt(squares);
}

double log_sum_exp(std::span<const float> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - highest);
  return highest + std::log(sum);
}

double kl_divergence(std::span<const float> p_logits, std::span<const float> q_logits) {
  const double p_sum = log_sum_exp(p_logits);
  const double q_sum = log_sum_exp(q_logits);
  double kl = 0;
  for (size_t i = 0; i < p_logits.size(); ++i) {
    const double log_p = p_logits[i] - p_sum;
    kl += std::exp(log_p) * (log_p - (q_logits[i] - q_sum));
  }
  return std::max(0.0, kl);  // rounding leaves a little below 0
}

ptrdiff_t top(std::span<const float> logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

// Adds the runs' latest pass to sums.
void add_pass(StepDivergence& sums, const ObservedRun& full, const ObservedRun& skipping,
              size_t entries, size_t num_layers) {
  sums.cosine.resize(num_layers);
  sums.norm_ratio.resize(num_layers);
  for (size_t entry = 0; entry < entries; ++entry) {
    for (size_t layer = 0; layer < num_layers; ++layer) {
      const auto wanted = full.state(layer, entry);
      const auto got = skipping.state(layer, entry);
      sums.cosine[layer] += cosine(got, wanted);
      sums.norm_ratio[layer] += norm(got) / std::max(norm(wanted), 1e-30);
    }
    sums.kl += kl_divergence(full.logits(entry), skipping.logits(entry));
    sums.top1_agreement += top(full.logits(entry)) == top(skipping.logits(entry)) ? 1 : 0;
    sums.layers += skipping.layers(entry);
    ++sums.texts;
  }
}

void add_batch(std::vector<StepDivergence>& sums, Model& model, const SkipStrategy& strategy,
               std::span<const ScoreRequest> texts, int64_t max_steps,
               const std::function<void()>& on_pass) {
  std::vector<TokenIds> prompts;
  size_t longest_prompt = 0, steps = 0;
  for (const ScoreRequest& text : texts) {
    prompts.push_back(text.prompt);
    longest_prompt = std::max(longest_prompt, text.prompt.size());
    steps = std::max(steps, text.continuation.size() - 1);
  }
  steps = std::min(steps, static_cast<size_t>(max_steps));
  const auto num_layers = static_cast<size_t>(model.config().num_layers);
  const auto everything = make_strategy({.name = "full"}, model.config().num_layers);
  const auto capacity = static_cast<int64_t>(longest_prompt + steps);
  ObservedRun full(model, *everything, prompts, capacity);
  ObservedRun skipping(model, strategy, prompts, capacity);
  if (sums.size() < steps + 1) sums.resize(steps + 1);

  full.prefill();
  skipping.prefill();
  add_pass(sums[0], full, skipping, texts.size(), num_layers);
  for (size_t step = 0; step < steps; ++step) {
    std::vector<int32_t> sequences, tokens;
    for (size_t s = 0; s < texts.size(); ++s) {
      if (step + 1 >= texts[s].continuation.size()) continue;
      sequences.push_back(static_cast<int32_t>(s));
      tokens.push_back(texts[s].continuation[step]);
    }
    full.step(static_cast<int>(step), {sequences, tokens, {}});
    skipping.step(static_cast<int>(step), {sequences, tokens, {}});
    add_pass(sums[step + 1], full, skipping, sequences.size(), num_layers);
    if (on_pass) on_pass();
  }
}

}  // namespace

std::vector<StepDivergence> measure_divergence(Model& model, const SkipStrategy& strategy,
                                               std::span<const ScoreRequest> texts, int64_t batch,
                                               int64_t max_steps,
                                               const std::function<void()>& on_pass) {
  for (size_t i = 0; i < texts.size(); ++i) {
    check_tokens(texts[i].prompt, model.config(), fmt::format("text {}, prompt", i));
    check_tokens(texts[i].continuation, model.config(), fmt::format("text {}, continuation", i));
  }
  std::vector<StepDivergence> sums;
  const auto size = static_cast<size_t>(batch);
  for (size_t begin = 0; begin < texts.size(); begin += size) {
    add_batch(sums, model, strategy, texts.subspan(begin, std::min(size, texts.size() - begin)),
              max_steps, on_pass);
  }
  for (StepDivergence& step : sums) {
    const auto count = static_cast<double>(step.texts);
    for (std::vector<double>* values : {&step.cosine, &step.norm_ratio}) {
      for (double& value : *values) value /= count;
    }
    for (double* value : {&step.kl, &step.top1_agreement, &step.layers}) *value /= count;
  }
  return sums;
}

}  // namespace skipbench
