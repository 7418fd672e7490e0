#include "engine/device_steps.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace skipbench {
namespace {

constexpr int64_t kFields = 6;  // arrays of the state, one entry per row

}  // namespace

DeviceSteps::DeviceSteps(Model& model)
    : model_(model),
      backend_(model.backend()),
      recordings_(backend_),
      clock_(backend_.make_mark()) {
  for (std::unique_ptr<Mark>& mark : marks_) mark = backend_.make_mark();
}

void DeviceSteps::grow(int64_t rows, size_t ends) {
  if (rows <= capacity_ && ends <= ends_capacity_) return;
  capacity_ = std::max(rows, capacity_);
  ends_capacity_ = std::max(ends, ends_capacity_);
  const auto capacity = static_cast<size_t>(capacity_);
  state_ = backend_.allocate((kFields * capacity + ends_capacity_) * sizeof(int32_t));
  ring_ = backend_.allocate_shared(kSlots * capacity * sizeof(StepResult));
  ++moves_;
}

void DeviceSteps::start_clock() {
  drain();
  clock_->set();
  last_mark_ = clock_.get();
}

bool DeviceSteps::takes(const SkipStrategy& strategy, int num_layers) {
  if (!strategy.skip_scales().empty()) return false;
  const SkipRule* rule = strategy.rule();
  if (rule == nullptr) return true;
  const LayerSet all = LayerSet::all(num_layers);
  return rule->action == RuleAction::kStop && rule->signal != ExitSignal::kCosine &&
         rule->rows_done != RowsDone::kCompact && strategy.kv_policy() == KvPolicy::kProject &&
         strategy.step_layers(num_layers, 0) == all && strategy.any_step_layers(num_layers) == all;
}

void DeviceSteps::start(const KvCache& cache, const GenerateOptions& options, const SkipRule* rule,
                        const Start& rows) {
  drain();
  const std::span<const int32_t> ends = options.end_of_text_ids;
  const int64_t count = std::ssize(rows.tokens);
  grow(count, ends.size());
  cache_ = &cache;
  host_state_.assign(rows.tokens.begin(), rows.tokens.end());
  host_state_.insert(host_state_.end(), rows.sequences.begin(), rows.sequences.end());
  host_state_.insert(host_state_.end(), rows.positions.begin(), rows.positions.end());
  host_state_.resize(static_cast<size_t>(4 * count), 0);  // not finished
  host_state_.resize(static_cast<size_t>(5 * count), static_cast<int32_t>(queued_ % kSlots));
  host_state_.insert(host_state_.end(), rows.texts.begin(), rows.texts.end());
  host_state_.insert(host_state_.end(), ends.begin(), ends.end());
  auto* state = static_cast<int32_t*>(state_.get());
  backend_.upload(state, host_state_.data(), host_state_.size() * sizeof(int32_t));

  rows_ = {count, state, state + count, state + 2 * count, /*single_rows=*/true};
  advance_ = {.rows = count,
              .ends = state + kFields * count,
              .num_ends = static_cast<int>(ends.size()),
              .token = state,
              .position = state + 2 * count,
              .finished = state + 3 * count,
              .step = state + 4 * count,
              .results = static_cast<StepResult*>(ring_.get()),
              .slots = kSlots};
  rule_ = rule;
  draws_ = {options.sampling, state + 5 * count, advance_.position};
  if (rule != nullptr) start_exits(options.max_new_tokens - 1, rows.step);
}

void DeviceSteps::queue(const LayerSet& layers) {
  assert(queued() < kAhead);
  // Thresholds and depths are read from memory, so rules that test at the same layers share
  // recordings.
  const auto rule_number = [&]() -> int64_t {
    if (rule_ == nullptr) return 0;
    int64_t number = 2 * int64_t{num_thresholds_};
    if (!rule_->depths.empty()) number = 2 * std::ssize(rule_->depths) + 1;
    number = number * (LayerSet::kMaxLayers + 1) + rule_->min_layer;
    number = number * (LayerSet::kMaxLayers + 1) + rule_->interval;
    // A threshold that nothing passes is not tested at all.
    number = 2 * number + (rule_->tests_after(rule_->min_layer - 1, rule_->min_layer + 1) ? 1 : 0);
    return 4 * number + static_cast<int>(rule_->signal) + 1;
  };
  const auto key = [&] {
    return Recordings::Key{.layers = layers,
                           .rows = rows_.rows,
                           .cache = cache_->memory_id(),
                           .with_presence = cache_->shape().with_presence,
                           .moves = moves_ + model_.moves(),
                           .ends = advance_.num_ends,
                           .sampling = draws_.sampling,
                           .rule = rule_number()};
  };
  const auto operations = [&] { return queue_operations(layers); };
  const RanLayers ran = is_recording_ ? recordings_.run(key, operations) : operations();
  const int64_t slot = queued_++ % kSlots;
  marks_[slot]->set();
  if (rule_ == nullptr) check_ran(ran, layers, "decoding step on a device");
  layers_[slot] = ran.most / 2.0;
}

RanLayers DeviceSteps::queue_operations(const LayerSet& layers) {
  model_.begin_pass(rows_);
  if (rule_ != nullptr) {
    queue_layers_with_exits(layers);
  } else {
    queue_layers(layers, 0, layers.num_layers());
    advance_.next = model_.next_tokens(model_.logits(), /*with_entropy=*/false, draws_);
  }
  backend_.advance(advance_);
  return model_.counter().ran();
}

void DeviceSteps::queue_layers(const LayerSet& layers, int begin, int end) {
  const Model::RowRange all{0, rows_.rows};
  for (int layer = begin; layer < end; ++layer) {
    if (rule_ != nullptr && begin > 0) model_.bring_back_rows(advance_.exits.running);
    if (layers.attention(layer)) model_.run_attention(layer, *cache_, all);
    if (layers.mlp(layer)) model_.run_mlp(layer, all);
  }
}

// A part of the layers up to each test; all but the first are skipped once every row has exited,
// and then only fill the cache. Rows that have exited go along with those that run on, from the
// hidden state that they had, so that their keys and values are those of KvPolicy::kProject.
void DeviceSteps::queue_layers_with_exits(const LayerSet& layers) {
  const int num_layers = layers.num_layers();
  backend_.begin_exits({advance_.exits, advance_.finished});
  int begin = 0;
  for (int layer = 0; layer < num_layers; ++layer) {
    const bool is_last = layer + 1 == num_layers;
    if (!is_last && !rule_->tests_after(layer, num_layers)) continue;
    const auto part = [&, first = begin] { queue_until_test(layers, first, layer + 1, is_last); };
    const auto fill_cache = [&, first = begin] {
      for (int l = first; l <= layer; ++l) model_.project_kv(l, *cache_, {0, rows_.rows});
    };
    if (begin == 0 || !backend_.is_recording()) {
      // Whatever a recording runs is run once before it, since a recording can neither allocate nor
      // upload; the part writes the same slots anew.
      if (begin > 0 && is_recording_) fill_cache();
      part();  // not recorded: what it does to rows that have exited is undone
    } else {
      // In this order: the test may change both flags, and what it ends has filled the cache.
      backend_.record_if(advance_.exits.none_running, [&] {
        model_.bring_back_rows(advance_.exits.running);
        fill_cache();
      });
      backend_.record_if(advance_.exits.any_running, part);
    }
    begin = layer + 1;
  }
  advance_.next = advance_.exits.chosen;
}

void DeviceSteps::queue_until_test(const LayerSet& layers, int begin, int end, bool is_last) {
  const ExitState& state = advance_.exits;
  const int32_t before = model_.counter().ran().most;
  queue_layers(layers, begin, end);
  if (!is_last) {
    backend_.start_exit_clock(state);
    model_.keep_rows(state.running);
  }
  const bool with_entropy = rule_->signal == ExitSignal::kEntropy;
  const int vocabulary = model_.config().vocab_size;
  backend_.test_exits(
      {.state = state,
       .next = model_.next_tokens(model_.logits(), with_entropy, draws_),
       .sublayers = model_.counter().ran().most - before,
       .signal = rule_->signal,
       .log_vocabulary = std::log(std::max(2, vocabulary)),
       .thresholds = is_last ? nullptr : static_cast<const double*>(thresholds_.get()),
       .num_thresholds = num_thresholds_,
       .depths = static_cast<const int32_t*>(depths_.get()),
       .num_depths = static_cast<int>(rule_->depths.size()),
       .texts = draws_.text});
}

// Arrays of the exit state, those of 8 bytes first.
void DeviceSteps::start_exits(int num_steps, int step) {
  const auto capacity = static_cast<size_t>(capacity_);
  if (exit_state_ == nullptr || exit_state_moves_ != moves_) {
    exit_state_ = backend_.allocate(2 * sizeof(int64_t) + capacity * sizeof(NextToken) +
                                    (4 * capacity + 2) * sizeof(int32_t));
    exit_state_moves_ = ++moves_;
  }
  num_thresholds_ = rule_->depths.empty() ? std::max(1, num_steps) : 1;
  if (num_thresholds_ > thresholds_capacity_) {
    thresholds_ = backend_.allocate(static_cast<size_t>(num_thresholds_) * sizeof(double));
    thresholds_capacity_ = num_thresholds_;
    exit_state_moves_ = ++moves_;
  }
  host_thresholds_.clear();
  for (int i = 0; i < num_thresholds_; ++i) host_thresholds_.push_back(rule_->threshold(i));
  backend_.upload(thresholds_.get(), host_thresholds_.data(),
                  host_thresholds_.size() * sizeof(double));
  const std::vector<int32_t>& depths = rule_->depths;
  if (std::ssize(depths) > depths_capacity_) {
    depths_ = backend_.allocate(depths.size() * sizeof(int32_t));
    depths_capacity_ = std::ssize(depths);
    exit_state_moves_ = ++moves_;
  }
  if (!depths.empty()) {
    backend_.upload(depths_.get(), depths.data(), depths.size() * sizeof(int32_t));
  }

  auto* clock = static_cast<int64_t*>(exit_state_.get());
  auto* chosen = reinterpret_cast<NextToken*>(clock + 2);
  auto* numbers = reinterpret_cast<int32_t*>(chosen + capacity);
  advance_.exits = {.rows = rows_.rows,
                    .running = numbers,
                    .any_running = numbers + 4 * capacity,
                    .none_running = numbers + 4 * capacity + 1,
                    .chosen = chosen,
                    .sublayers = numbers + capacity,
                    .tests = numbers + 2 * capacity,
                    .step = numbers + 3 * capacity,
                    .clock_ns = clock};
  host_state_.assign(static_cast<size_t>(rows_.rows), step - 1);  // begin_exits counts up
  backend_.upload(advance_.exits.step, host_state_.data(), host_state_.size() * sizeof(int32_t));
}

DeviceSteps::Taken DeviceSteps::take() {
  assert(queued() > 0);
  const int64_t slot = taken_++ % kSlots;
  Mark& mark = *marks_[slot];
  mark.wait();
  const double microseconds = mark.microseconds_since(*last_mark_);
  last_mark_ = &mark;
  const StepResult* first = advance_.results + slot * rows_.rows;
  return {{first, static_cast<size_t>(rows_.rows)}, microseconds, layers_[slot]};
}

void DeviceSteps::drain() {
  while (queued() > 0) take();
}

}  // namespace skipbench
