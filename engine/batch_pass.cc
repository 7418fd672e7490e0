#include "engine/batch_pass.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cmath>
#include <numeric>

namespace skipbench {
namespace {

double confidence(const SkipRule& rule, const NextToken& next, int vocab_size) {
  return exit_confidence(rule.signal, next.top_probability, next.second_probability, next.entropy,
                         std::log(std::max(2, vocab_size)));
}

}  // namespace

KvCacheShape cache_shape(const SkipStrategy& strategy, int num_layers, int64_t sequences,
                         int64_t capacity) {
  return {.sequences = sequences,
          .capacity = capacity,
          .prefilled = strategy.prefill_layers(num_layers),
          .cached = strategy.any_step_layers(num_layers),
          .with_presence = strategy.kv_policy() == KvPolicy::kAbsent && strategy.sets_can_grow()};
}

BatchPass::BatchPass(Model& model, const SkipStrategy& strategy, std::span<const TokenIds> prompts,
                     int64_t capacity)
    : model_(model),
      strategy_(strategy),
      prompts_(prompts),
      num_layers_(model.config().num_layers),
      cache_(model.cache(cache_shape(strategy, num_layers_, std::ssize(prompts), capacity))) {}

void BatchPass::run_layer(int layer, const LayerSet& set, Model::RowRange rows) {
  if (set.attention(layer)) model_.run_attention(layer, *cache_, rows);
  if (set.mlp(layer)) model_.run_mlp(layer, rows);
}

std::span<const BatchPass::Row> BatchPass::prefill(std::span<const int32_t> targets) {
  std::vector<int32_t> tokens, sequences, positions, last_rows;
  for (size_t sequence = 0; sequence < prompts_.size(); ++sequence) {
    const TokenIds& prompt = prompts_[sequence];
    tokens.insert(tokens.end(), prompt.begin(), prompt.end());
    sequences.insert(sequences.end(), prompt.size(), static_cast<int32_t>(sequence));
    const size_t begin = positions.size();
    positions.resize(begin + prompt.size());
    std::iota(positions.begin() + static_cast<ptrdiff_t>(begin), positions.end(), 0);
    last_rows.push_back(static_cast<int32_t>(tokens.size()) - 1);
    lengths_.push_back(static_cast<int32_t>(prompt.size()));
  }
  const LayerSet set = strategy_.prefill_layers(num_layers_);
  model_.begin_pass(tokens, sequences, positions);
  const Model::RowRange all_rows{0, std::ssize(tokens)};
  for (int layer = 0; layer < num_layers_; ++layer) {
    run_layer(layer, set, all_rows);
    if (observer_) observer_(layer, {});
  }

  order_.resize(prompts_.size());
  std::iota(order_.begin(), order_.end(), 0);
  rows_.assign(prompts_.size(), Row{.layers = set.layers()});
  record(order_, model_.logits(last_rows), targets);
  return rows_;
}

std::span<const BatchPass::Row> BatchPass::step(int step, const StepInput& input) {
  const size_t count = input.sequences.size();
  assert(count > 0 && input.tokens.size() == count);
  positions_.resize(count);
  for (size_t i = 0; i < count; ++i) positions_[i] = lengths_[input.sequences[i]]++;
  rows_.assign(count, Row{});
  order_.resize(count);
  std::iota(order_.begin(), order_.end(), 0);
  model_.begin_pass(input.tokens, input.sequences, positions_);

  if (const SkipRule* rule = strategy_.rule()) {
    step_with_rule(*rule, step, input);
    return rows_;
  }
  const LayerSet set = strategy_.step_layers(num_layers_, step);
  const Model::RowRange all_rows{0, static_cast<int64_t>(count)};
  for (int layer = 0; layer < num_layers_; ++layer) {
    run_layer(layer, set, all_rows);
    if (observer_) observer_(layer, order_);
  }
  for (Row& row : rows_) row.layers = set.layers();
  record(order_, model_.logits(order_), input.targets);
  return rows_;
}

// Rows that have exited stand behind the running ones, so that every layer works on two contiguous
// ranges: it runs on the first and, under kProject, only fills the cache for the second.
void BatchPass::step_with_rule(const SkipRule& rule, int step, const StepInput& input) {
  const LayerSet set = strategy_.step_layers(num_layers_, step);
  const int64_t count = std::ssize(input.sequences);
  int64_t running = count;
  for (int layer = 0; layer < num_layers_; ++layer) {
    if (running > 0) {
      run_layer(layer, set, {0, running});
      const double ran = (set.attention(layer) ? 0.5 : 0.0) + (set.mlp(layer) ? 0.5 : 0.0);
      for (int64_t i = 0; i < running; ++i) rows_[order_[i]].layers += ran;
    }
    if (running < count && strategy_.kv_policy() == KvPolicy::kProject) {
      model_.project_kv(layer, *cache_, {running, count - running});
    }
    if (running > 0 && rule.tests_after(layer, num_layers_)) {
      const auto begin = std::chrono::steady_clock::now();
      running = move_exits_behind(running, rule, step, input);
      exit_test_us_ +=
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
              .count();
    }
    if (observer_) observer_(layer, order_);
  }
  if (running == 0) return;
  row_list_.resize(static_cast<size_t>(running));
  std::iota(row_list_.begin(), row_list_.end(), 0);
  record(std::span(order_).first(static_cast<size_t>(running)), model_.logits(row_list_),
         input.targets);
}

// Runs the exit test on the running rows, records what exits, and returns how many run on.
int64_t BatchPass::move_exits_behind(int64_t running, const SkipRule& rule, int step,
                                     const StepInput& input) {
  row_list_.resize(static_cast<size_t>(running));
  std::iota(row_list_.begin(), row_list_.end(), 0);
  const Matrix logits = model_.logits(row_list_);
  // Every tested row's result is recorded: for those that run on, a later test overwrites it.
  const auto tested = std::span<const int32_t>(order_).first(static_cast<size_t>(running));
  record_next(tested, logits);
  exit_tests_ += running;

  const double threshold = rule.threshold(step);
  const auto exits = [&](int64_t row) {
    return confidence(rule, rows_[order_[row]].next, model_.config().vocab_size) > threshold;
  };
  pass_index_.clear();
  for (int64_t row = 0; row < running; ++row) {
    if (!exits(row)) pass_index_.push_back(static_cast<int32_t>(row));
  }
  const int64_t staying = std::ssize(pass_index_);
  if (staying == running) return running;
  record_log_probs(tested, logits, input.targets);
  for (int64_t row = 0; row < running; ++row) {
    if (exits(row)) pass_index_.push_back(static_cast<int32_t>(row));
  }
  for (int64_t row = running; row < std::ssize(order_); ++row) {
    pass_index_.push_back(static_cast<int32_t>(row));
  }
  model_.permute_rows(pass_index_);
  next_order_.clear();
  for (int32_t row : pass_index_) next_order_.push_back(order_[row]);
  std::swap(order_, next_order_);
  return staying;
}

void BatchPass::record_next(std::span<const int32_t> entries, const Matrix& logits) {
  const SkipRule* rule = strategy_.rule();
  const bool with_entropy = rule != nullptr && rule->signal == ExitSignal::kEntropy;
  model_.next_tokens(logits, with_entropy, next_tokens_);
  for (size_t i = 0; i < entries.size(); ++i) rows_[entries[i]].next = next_tokens_[i];
}

void BatchPass::record_log_probs(std::span<const int32_t> entries, const Matrix& logits,
                                 std::span<const int32_t> targets) {
  if (targets.empty()) return;
  row_targets_.clear();
  for (int32_t entry : entries) row_targets_.push_back(targets[entry]);
  model_.log_probs(logits, row_targets_, log_probs_);
  for (size_t i = 0; i < entries.size(); ++i) rows_[entries[i]].log_prob = log_probs_[i];
}

void BatchPass::record(std::span<const int32_t> entries, const Matrix& logits,
                       std::span<const int32_t> targets) {
  record_next(entries, logits);
  record_log_probs(entries, logits, targets);
}

}  // namespace skipbench
