#include "engine/batch_pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "engine/base/clock.h"
#include "engine/base/error.h"

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
                     int64_t capacity, int beams)
    : model_(model),
      strategy_(strategy),
      prompts_(prompts),
      num_layers_(model.config().num_layers),
      beams_(beams),
      cache_(
          model.cache(cache_shape(strategy, num_layers_, beams * std::ssize(prompts), capacity))),
      texts_(prompts.size()) {
  std::iota(texts_.begin(), texts_.end(), 0);
}

void BatchPass::draw(const GenerateOptions& options) {
  draws_ = &options;
  std::iota(texts_.begin(), texts_.end(), options.first_text);
}

// Of two neighbours that are both skipped the scales are multiplied first.
void BatchPass::run_layer(int layer, const LayerSet& set, Model::RowRange rows) {
  const std::span<const float> scales = strategy_.skip_scales();
  const auto scale_of = [&](int sublayer, bool runs) {
    return scales.empty() || runs ? 1.0f : scales[static_cast<size_t>(2 * layer + sublayer)];
  };
  float scale = scale_of(0, set.attention(layer));
  if (set.attention(layer)) model_.run_attention(layer, *cache_, rows);
  if (set.mlp(layer)) {
    if (scale != 1.0f) model_.scale_rows(scale, rows);
    model_.run_mlp(layer, rows);
    return;
  }
  scale *= scale_of(1, set.mlp(layer));
  if (scale != 1.0f) model_.scale_rows(scale, rows);
}

std::span<const BatchPass::Row> BatchPass::prefill(std::span<const int32_t> targets) {
  std::vector<int32_t> tokens, sequences, positions, last_rows;
  for (size_t sequence = 0; sequence < prompts_.size(); ++sequence) {
    const TokenIds& prompt = prompts_[sequence];
    tokens.insert(tokens.end(), prompt.begin(), prompt.end());
    sequences.insert(sequences.end(), prompt.size(), static_cast<int32_t>(sequence) * beams_);
    const size_t begin = positions.size();
    positions.resize(begin + prompt.size());
    std::iota(positions.begin() + static_cast<ptrdiff_t>(begin), positions.end(), 0);
    last_rows.push_back(static_cast<int32_t>(tokens.size()) - 1);
    lengths_.insert(lengths_.end(), static_cast<size_t>(beams_),
                    static_cast<int32_t>(prompt.size()));
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
  check_ran(model_.counter().ran(), set, "prefill");
  rows_.assign(prompts_.size(), Row{});
  for (size_t i = 0; i < rows_.size(); ++i) {
    rows_[i].layers = model_.counter().sublayers()[static_cast<size_t>(last_rows[i])] / 2.0;
  }
  record(order_, model_.logits(last_rows), targets);
  return rows_;
}

std::span<const BatchPass::Row> BatchPass::step(int step, const StepInput& input) {
  const size_t count = input.sequences.size();
  assert(count > 0 && input.tokens.size() == count);
  sequences_ = input.sequences;
  positions_.resize(count);
  for (size_t i = 0; i < count; ++i) positions_[i] = lengths_[input.sequences[i]]++;
  rows_.assign(count, Row{});
  order_.resize(count);
  std::iota(order_.begin(), order_.end(), 0);
  model_.begin_pass(input.tokens, input.sequences, positions_);

  if (const SkipRule* rule = strategy_.rule()) {
    if (rule->action == RuleAction::kSkipMlps) {
      step_skipping_mlps(*rule, step, input);
    } else {
      step_with_rule(*rule, step, input);
    }
    note_layers();
    return rows_;
  }
  const LayerSet set = strategy_.step_layers(num_layers_, step);
  const Model::RowRange all_rows{0, static_cast<int64_t>(count)};
  for (int layer = 0; layer < num_layers_; ++layer) {
    run_layer(layer, set, all_rows);
    if (observer_) observer_(layer, order_);
  }
  check_ran(model_.counter().ran(), set, "decoding step", step);
  note_layers();
  record(order_, model_.logits(order_), input.targets);
  return rows_;
}

void BatchPass::note_layers() {
  const std::span<const int32_t> sublayers = model_.counter().sublayers();
  for (size_t row = 0; row < order_.size(); ++row) {
    rows_[order_[row]].layers = sublayers[row] / 2.0;
  }
}

// Runs what `run` queues for rows [0, needed), with the others of the pass as the rule says: away
// from it, or along with their hidden states kept.
template <typename Run>
void BatchPass::run_beside_done_rows(const SkipRule& rule, int64_t needed, const Run& run) {
  const int64_t done = std::ssize(order_) - needed;
  if (rule.rows_done != RowsDone::kWait || done == 0) {
    run(Model::RowRange{0, needed});
    return;
  }
  model_.keep_states({needed, done});
  run(Model::RowRange{0, needed + done});
  model_.bring_back_states({needed, done});
}

// Rows that have exited stand behind the running ones, so that every layer works on two contiguous
// ranges: it runs on the first and, under kProject, only fills the cache for the second.
void BatchPass::step_with_rule(const SkipRule& rule, int step, const StepInput& input) {
  const LayerSet set = strategy_.step_layers(num_layers_, step);
  const int64_t count = std::ssize(input.sequences);
  const bool by_state = rule.signal == ExitSignal::kCosine;
  int64_t running = count;
  for (int layer = 0; layer < num_layers_; ++layer) {
    const bool is_tested = running > 0 && rule.tests_after(layer, num_layers_);
    const bool go_along = running > 0 && rule.rows_done == RowsDone::kWait && set.attention(layer);
    if (is_tested && by_state) model_.keep_states({0, running});
    if (running > 0) {
      run_beside_done_rows(rule, running,
                           [&](Model::RowRange rows) { run_layer(layer, set, rows); });
    }
    if (running < count && strategy_.kv_policy() == KvPolicy::kProject && !go_along) {
      model_.project_kv(layer, *cache_, {running, count - running});
    }
    if (is_tested) {
      const auto begin = Clock::now();
      const auto stops = [&](int32_t entry, double confidence) {
        return rule.stops(layer + 1, step, texts_[sequences_[entry]], confidence);
      };
      running =
          by_state ? move_settled_behind(running, stops) : move_exits_behind(running, stops, input);
      exit_test_us_ += microseconds_since(begin);
    }
    if (observer_) observer_(layer, order_);
  }
  // Where no test has asked the head, all rows ask it now: an exit has left their states as they
  // were.
  const int64_t asking = by_state ? count : running;
  if (asking == 0) return;
  row_list_.resize(static_cast<size_t>(asking));
  std::iota(row_list_.begin(), row_list_.end(), 0);
  record(std::span(order_).first(static_cast<size_t>(asking)), model_.logits(row_list_),
         input.targets);
}

// Rows that skip MLPs stand behind those that do not, until the layers in which they may are over.
void BatchPass::step_skipping_mlps(const SkipRule& rule, int step, const StepInput& input) {
  const LayerSet set = strategy_.step_layers(num_layers_, step);
  const int64_t count = std::ssize(input.sequences);
  const double threshold = rule.threshold(step);
  int64_t whole = count;  // rows that skip nothing
  for (int layer = 0; layer < num_layers_; ++layer) {
    const bool may_skip = layer >= rule.min_layer && layer < num_layers_ - rule.last_layers;
    const int64_t needed = set.mlp(layer) ? (may_skip ? whole : count) : 0;
    const bool is_tested = needed > 0 && threshold < 1.0 && rule.tests_after(layer, num_layers_);
    if (set.attention(layer)) model_.run_attention(layer, *cache_, {0, count});
    if (is_tested) model_.keep_states({0, needed});
    if (needed > 0) {
      run_beside_done_rows(rule, needed,
                           [&](Model::RowRange rows) { model_.run_mlp(layer, rows); });
    }
    if (is_tested) {
      const auto begin = Clock::now();
      whole = move_settled_behind(needed, [&](int32_t, double c) { return c > threshold; });
      exit_test_us_ += microseconds_since(begin);
    }
    if (observer_) observer_(layer, order_);
  }
  row_list_.resize(static_cast<size_t>(count));
  std::iota(row_list_.begin(), row_list_.end(), 0);
  record(order_, model_.logits(row_list_), input.targets);
}

// Of the first `running` rows those go behind the others that stop by their state's cosine with
// what keep_states kept; returns how many are left.
template <typename Stops>
int64_t BatchPass::move_settled_behind(int64_t running, const Stops& stops) {
  model_.cosines_with_kept({0, running}, cosines_);
  exit_tests_ += running;
  leaves_.clear();
  for (size_t row = 0; row < cosines_.size(); ++row) {
    leaves_.push_back(stops(order_[row], cosines_[row]));
  }
  return move_leaving_behind();
}

// Runs the exit test on the running rows, records what exits, and returns how many run on.
template <typename Stops>
int64_t BatchPass::move_exits_behind(int64_t running, const Stops& stops, const StepInput& input) {
  row_list_.resize(static_cast<size_t>(running));
  std::iota(row_list_.begin(), row_list_.end(), 0);
  const Matrix logits = model_.logits(row_list_);
  // Every tested row's result is recorded: for those that run on, a later test overwrites it.
  const auto tested = std::span<const int32_t>(order_).first(static_cast<size_t>(running));
  record_next(tested, logits);
  exit_tests_ += running;

  leaves_.clear();
  for (const int32_t entry : tested) {
    const NextToken& next = rows_[entry].next;
    leaves_.push_back(
        stops(entry, confidence(*strategy_.rule(), next, model_.config().vocab_size)));
  }
  if (std::find(leaves_.begin(), leaves_.end(), true) == leaves_.end()) return running;
  record_log_probs(tested, logits, input.targets);
  return move_leaving_behind();
}

// Of the first rows, as many as leaves_ has entries: those with true go behind the others, which
// are counted. All keep their order otherwise.
int64_t BatchPass::move_leaving_behind() {
  const int64_t first_rows = std::ssize(leaves_);
  pass_index_.clear();
  for (int64_t row = 0; row < first_rows; ++row) {
    if (!leaves_[row]) pass_index_.push_back(static_cast<int32_t>(row));
  }
  const int64_t staying = std::ssize(pass_index_);
  if (staying == first_rows) return staying;
  for (int64_t row = 0; row < first_rows; ++row) {
    if (leaves_[row]) pass_index_.push_back(static_cast<int32_t>(row));
  }
  for (int64_t row = first_rows; row < std::ssize(order_); ++row) {
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
  Model::Draws draws;
  if (draws_ != nullptr && !draws_->sampling.is_greedy()) {
    draw_texts_.clear();
    draw_positions_.clear();
    for (const int32_t entry : entries) {
      const int32_t sequence = sequences_.empty() ? entry : sequences_[entry];
      draw_texts_.push_back(texts_[sequence]);
      draw_positions_.push_back(lengths_[sequence] - 1);
    }
    draws = {draws_->sampling, draw_texts_.data(), draw_positions_.data()};
  }
  model_.next_tokens(logits, with_entropy, draws, next_tokens_);
  for (size_t i = 0; i < entries.size(); ++i) rows_[entries[i]].next = next_tokens_[i];
}

void BatchPass::check_next(std::span<const int32_t> entries) const {
  for (const int32_t entry : entries) {
    if (rows_[entry].next.top_probability > 0) continue;
    const int32_t sequence = sequences_.empty() ? entry : sequences_[entry];
    throw Error(
        {.what = "the model's output is not a number",
         .where =
             fmt::format("text {} of the batch, after {} tokens", sequence + 1, lengths_[sequence]),
         .expected = "a token with a finite logit",
         .got = "none in the whole vocabulary",
         .hint = "a wider dtype (f32 or bf16 instead of f16) may help; else the weights hold "
                 "NaN or infinity"});
  }
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
  if (keeps_logits_) model_.read_logits(logits, logits_);
  record_next(entries, logits);
  // Scores of given tokens say by themselves that they are no numbers; a text would not.
  if (targets.empty()) check_next(entries);
  record_log_probs(entries, logits, targets);
}

}  // namespace skipbench
