#include "engine/greedy_steps.h"

#include <algorithm>
#include <cassert>

namespace skipbench {
namespace {

constexpr int64_t kFields = 5;  // arrays of the state, one entry per row

}  // namespace

GreedySteps::GreedySteps(Model& model)
    : model_(model),
      backend_(model.backend()),
      recordings_(backend_),
      clock_(backend_.make_mark()) {
  for (std::unique_ptr<Mark>& mark : marks_) mark = backend_.make_mark();
}

void GreedySteps::grow(int64_t rows, size_t ends) {
  if (rows <= capacity_ && ends <= ends_capacity_) return;
  capacity_ = std::max(rows, capacity_);
  ends_capacity_ = std::max(ends, ends_capacity_);
  const auto capacity = static_cast<size_t>(capacity_);
  state_ = backend_.allocate((kFields * capacity + ends_capacity_) * sizeof(int32_t));
  ring_ = backend_.allocate_shared(kSlots * capacity * sizeof(NextToken));
  ++moves_;
}

void GreedySteps::start_clock() {
  drain();
  clock_->set();
  last_mark_ = clock_.get();
}

void GreedySteps::start(const KvCache& cache, std::span<const int32_t> ends, const Start& rows) {
  drain();
  const int64_t count = std::ssize(rows.tokens);
  grow(count, ends.size());
  cache_ = &cache;
  host_state_.assign(rows.tokens.begin(), rows.tokens.end());
  host_state_.insert(host_state_.end(), rows.sequences.begin(), rows.sequences.end());
  host_state_.insert(host_state_.end(), rows.positions.begin(), rows.positions.end());
  host_state_.resize(static_cast<size_t>(4 * count), 0);  // not finished
  host_state_.resize(static_cast<size_t>(kFields * count), static_cast<int32_t>(queued_ % kSlots));
  host_state_.insert(host_state_.end(), ends.begin(), ends.end());
  auto* state = static_cast<int32_t*>(state_.get());
  backend_.upload(state, host_state_.data(), host_state_.size() * sizeof(int32_t));

  rows_ = {count, state, state + count, state + 2 * count};
  advance_ = {.rows = count,
              .ends = state + kFields * count,
              .num_ends = static_cast<int>(ends.size()),
              .token = state,
              .position = state + 2 * count,
              .finished = state + 3 * count,
              .step = state + 4 * count,
              .results = static_cast<NextToken*>(ring_.get()),
              .slots = kSlots};
}

void GreedySteps::queue(const LayerSet& layers) {
  assert(queued() < kAhead);
  const auto key = [&] {
    return Recordings::Key{.layers = layers,
                           .rows = rows_.rows,
                           .cache = cache_->memory_id(),
                           .with_presence = cache_->shape().with_presence,
                           .moves = moves_ + model_.moves(),
                           .ends = advance_.num_ends};
  };
  if (is_recording_) {
    recordings_.run(key, [&] { queue_operations(layers); });
  } else {
    queue_operations(layers);
  }
  marks_[queued_++ % kSlots]->set();
}

void GreedySteps::queue_operations(const LayerSet& layers) {
  model_.begin_pass(rows_);
  const Model::RowRange all{0, rows_.rows};
  for (int layer = 0; layer < layers.num_layers(); ++layer) {
    if (layers.attention(layer)) model_.run_attention(layer, *cache_, all);
    if (layers.mlp(layer)) model_.run_mlp(layer, all);
  }
  advance_.next = model_.next_tokens(model_.logits(), /*with_entropy=*/false);
  backend_.advance(advance_);
}

GreedySteps::Taken GreedySteps::take() {
  assert(queued() > 0);
  const int64_t slot = taken_++ % kSlots;
  Mark& mark = *marks_[slot];
  mark.wait();
  const double microseconds = mark.microseconds_since(*last_mark_);
  last_mark_ = &mark;
  const NextToken* first = advance_.results + slot * rows_.rows;
  return {{first, static_cast<size_t>(rows_.rows)}, microseconds};
}

void GreedySteps::drain() {
  while (queued() > 0) take();
}

}  // namespace skipbench
