#include "eval/probe/divergence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>

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

  void number_texts(std::span<const int32_t> texts) { pass_.number_texts(texts); }
  void prefill() { keep_layers(pass_.prefill({})); }
  void step(int step, const BatchPass::StepInput& input) { keep_layers(pass_.step(step, input)); }

  std::span<const float> state(size_t layer, size_t entry) const {
    return std::span(states_[layer]).subspan(entry * width(), width());
  }
  std::span<const float> logits(size_t entry) const {
    return std::span(logits_).subspan(entry * vocabulary(), vocabulary());
  }
  double layers(size_t entry) const { return layers_[entry]; }
  size_t num_layers() const { return states_.size(); }

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
  return kl < 0 ? 0 : kl;  // rounding leaves a little below 0
}

ptrdiff_t top(std::span<const float> logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

// A batch under both runs, pass by pass.
class PairedRun {
 public:
  PairedRun(DivergenceModels models, const SkipStrategy& strategy,
            std::span<const ScoreRequest> texts, size_t max_steps)
      : texts_(texts), full_layers_(make_strategy({.name = "full"}, num_layers_of(models))) {
    size_t longest_prompt = 0;
    std::vector<int32_t> numbers;
    for (const ScoreRequest& text : texts) {
      prompts_.push_back(text.prompt);
      numbers.push_back(text.text);
      longest_prompt = std::max(longest_prompt, text.prompt.size());
      steps_ = std::max(steps_, text.continuation.size() - 1);
    }
    steps_ = std::min(steps_, max_steps);
    const auto capacity = static_cast<int64_t>(longest_prompt + steps_);
    full_.emplace(models.full, *full_layers_, prompts_, capacity);
    skipping_.emplace(models.skipping, strategy, prompts_, capacity);
    skipping_->number_texts(numbers);
  }

  size_t steps() const { return steps_; }
  const ObservedRun& full() const { return *full_; }
  const ObservedRun& skipping() const { return *skipping_; }

  // The texts of the pass, in the order of its entries.
  std::vector<int32_t> prefill() {
    full_->prefill();
    skipping_->prefill();
    std::vector<int32_t> all(texts_.size());
    std::iota(all.begin(), all.end(), 0);
    return all;
  }

  std::vector<int32_t> step(size_t step) {
    std::vector<int32_t> sequences, tokens;
    for (size_t s = 0; s < texts_.size(); ++s) {
      if (step + 1 >= texts_[s].continuation.size()) continue;
      sequences.push_back(static_cast<int32_t>(s));
      tokens.push_back(texts_[s].continuation[step]);
    }
    full_->step(static_cast<int>(step), {sequences, tokens, {}});
    skipping_->step(static_cast<int>(step), {sequences, tokens, {}});
    return sequences;
  }

 private:
  static int num_layers_of(DivergenceModels models) { return models.full.config().num_layers; }

  std::span<const ScoreRequest> texts_;
  std::unique_ptr<SkipStrategy> full_layers_;
  std::vector<TokenIds> prompts_;
  size_t steps_ = 0;
  std::optional<ObservedRun> full_, skipping_;
};

void add_states(StepSums& sums, const PairedRun& run, size_t entries) {
  const size_t num_layers = run.full().num_layers();
  sums.cosine.resize(num_layers);
  sums.norm_ratio.resize(num_layers);
  for (size_t entry = 0; entry < entries; ++entry) {
    for (size_t layer = 0; layer < num_layers; ++layer) {
      const auto wanted = run.full().state(layer, entry);
      const auto got = run.skipping().state(layer, entry);
      sums.cosine[layer] += cosine(got, wanted);
      sums.norm_ratio[layer] += norm(got) / std::max(norm(wanted), 1e-30);
    }
  }
}

// How the distributions of one entry differ.
struct EntryDivergence {
  double kl = 0;
  bool agrees = false;
};

// Adds the runs' latest pass to its sums.
std::vector<EntryDivergence> add_pass(StepSums& sums, const PairedRun& run, size_t entries) {
  add_states(sums, run, entries);
  std::vector<EntryDivergence> found;
  for (size_t entry = 0; entry < entries; ++entry) {
    const auto wanted = run.full().logits(entry), got = run.skipping().logits(entry);
    found.push_back({kl_divergence(wanted, got), top(wanted) == top(got)});
    sums.kl += found.back().kl;
    sums.agreeing += found.back().agrees ? 1 : 0;
    sums.layers += run.skipping().layers(entry);
    ++sums.texts;
  }
  return found;
}

void add_batch(std::vector<StepSums>& sums, DivergenceModels models, const SkipStrategy& strategy,
               std::span<const ScoreRequest> texts, int64_t max_steps,
               const std::function<void()>& on_pass) {
  PairedRun run(models, strategy, texts, static_cast<size_t>(max_steps));
  if (sums.size() < run.steps() + 1) sums.resize(run.steps() + 1);
  add_pass(sums[0], run, run.prefill().size());
  for (size_t step = 0; step < run.steps(); ++step) {
    add_pass(sums[step + 1], run, run.step(step).size());
    if (on_pass) on_pass();
  }
}

// Adds a pass of the batch, whose distributions are of token `index` of the texts' continuations.
void add_responses(BatchDivergence& sums, const PairedRun& run, std::span<const int32_t> of_entries,
                   std::span<const ScoreRequest> texts, size_t index) {
  const auto found = add_pass(sums.steps[index], run, of_entries.size());
  for (size_t entry = 0; entry < of_entries.size(); ++entry) {
    const auto text = static_cast<size_t>(of_entries[entry]);
    const auto got = run.skipping().logits(entry);
    const auto token = static_cast<size_t>(texts[text].continuation[index]);
    ResponseScore& score = sums.texts[text];
    ++score.tokens;
    score.nll += log_sum_exp(got) - got[token];
    score.kl += found[entry].kl;
    score.agreeing += found[entry].agrees ? 1 : 0;
  }
}

void check_texts(std::span<const ScoreRequest> texts, const ModelConfig& config) {
  for (size_t i = 0; i < texts.size(); ++i) {
    check_tokens(texts[i].prompt, config, fmt::format("text {}, prompt", i));
    check_tokens(texts[i].continuation, config, fmt::format("text {}, continuation", i));
  }
}

}  // namespace

std::vector<StepDivergence> measure_divergence(DivergenceModels models,
                                               const SkipStrategy& strategy,
                                               std::span<const ScoreRequest> texts, int64_t batch,
                                               int64_t max_steps,
                                               const std::function<void()>& on_pass) {
  check_texts(texts, models.full.config());
  std::vector<StepSums> sums;
  const auto size = static_cast<size_t>(batch);
  for (size_t begin = 0; begin < texts.size(); begin += size) {
    add_batch(sums, models, strategy, texts.subspan(begin, std::min(size, texts.size() - begin)),
              max_steps, on_pass);
  }
  std::vector<StepDivergence> means;
  for (const StepSums& step : sums) means.push_back(mean_of(step));
  return means;
}

BatchDivergence measure_batch_divergence(DivergenceModels models, const SkipStrategy& strategy,
                                         std::span<const ScoreRequest> texts) {
  check_texts(texts, models.full.config());
  PairedRun run(models, strategy, texts, std::numeric_limits<size_t>::max());
  BatchDivergence found{.texts = std::vector<ResponseScore>(texts.size()),
                        .steps = std::vector<StepSums>(run.steps() + 1)};
  add_responses(found, run, run.prefill(), texts, 0);
  for (size_t step = 0; step < run.steps(); ++step) {
    add_responses(found, run, run.step(step), texts, step + 1);
  }
  return found;
}

void StepSums::add(const StepSums& other) {
  texts += other.texts;
  layers += other.layers;
  kl += other.kl;
  agreeing += other.agreeing;
  cosine.resize(std::max(cosine.size(), other.cosine.size()));
  norm_ratio.resize(cosine.size());
  for (size_t layer = 0; layer < other.cosine.size(); ++layer) {
    cosine[layer] += other.cosine[layer];
    norm_ratio[layer] += other.norm_ratio[layer];
  }
}

void add_steps(std::vector<StepSums>& sums, std::span<const StepSums> others) {
  sums.resize(std::max(sums.size(), others.size()));
  for (size_t step = 0; step < others.size(); ++step) sums[step].add(others[step]);
}

StepDivergence mean_of(const StepSums& sums) {
  const auto count = static_cast<double>(sums.texts);
  StepDivergence means{.texts = sums.texts,
                       .layers = sums.layers / count,
                       .cosine = sums.cosine,
                       .norm_ratio = sums.norm_ratio,
                       .kl = sums.kl / count,
                       .top1_agreement = static_cast<double>(sums.agreeing) / count};
  for (std::vector<double>* values : {&means.cosine, &means.norm_ratio}) {
    for (double& value : *values) value /= count;
  }
  return means;
}

}  // namespace skipbench
