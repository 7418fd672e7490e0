#include "eval/metrics/ngrams.h"

#include <algorithm>
#include <functional>

namespace skipbench {
namespace {

constexpr size_t kInitialSlots = 256;

// Fibonacci hashing; the high bits are the good ones.
size_t hash_key(uint64_t key) {
  key ^= key >> 29;
  return static_cast<size_t>((key * 0x9E3779B97F4A7C15ull) >> 20);
}

// Starts a new generation; on wrap-around every slot is really cleared.
template <typename Slot>
void next_generation(std::vector<Slot>* slots, uint32_t* generation) {
  if (++*generation != 0) return;
  std::fill(slots->begin(), slots->end(), Slot{});
  *generation = 1;
}

}  // namespace

void TokenIds::clear() {
  next_generation(&slots_, &generation_);
  bytes_.clear();
  size_ = 0;
}

// The slot of `token`, or the free slot where it belongs.
size_t TokenIds::probe(std::string_view token, size_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t i = hash_key(hash) & mask;
  for (; slots_[i].generation == generation_; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (slot.hash != hash || slot.bytes != token.size()) continue;
    if (std::string_view(bytes_).substr(slot.begin, slot.bytes) == token) break;
  }
  return i;
}

void TokenIds::grow() {
  std::vector<Slot> old = std::move(slots_);
  slots_.assign(std::max(kInitialSlots, 2 * old.size()), Slot{});
  for (const Slot& slot : old) {
    if (slot.generation != generation_) continue;
    slots_[probe(std::string_view(bytes_).substr(slot.begin, slot.bytes), slot.hash)] = slot;
  }
}

uint32_t TokenIds::insert(std::string_view token) {
  if (2 * (size_ + size_t{1}) > slots_.size()) grow();
  const size_t hash = std::hash<std::string_view>{}(token);
  Slot& slot = slots_[probe(token, hash)];
  if (slot.generation != generation_) {
    slot = {hash, bytes_.size(), token.size(), generation_, size_++};
    bytes_.append(token);
  }
  return slot.id;
}

uint32_t TokenIds::find(std::string_view token) const {
  if (slots_.empty()) return kNoToken;
  const Slot& slot = slots_[probe(token, std::hash<std::string_view>{}(token))];
  return slot.generation == generation_ ? slot.id : kNoToken;
}

void NgramMatcher::clear(int max_order) {
  max_order_ = max_order;
  next_generation(&slots_, &generation_);
  n_nodes_ = 0;
  n_references_ = 0;
}

size_t NgramMatcher::probe(uint64_t key) const {
  const size_t mask = slots_.size() - 1;
  size_t i = hash_key(key) & mask;
  while (slots_[i].generation == generation_ && slots_[i].key != key) i = (i + 1) & mask;
  return i;
}

void NgramMatcher::grow() {
  std::vector<Slot> old = std::move(slots_);
  slots_.assign(std::max(kInitialSlots, 2 * old.size()), Slot{});
  for (const Slot& slot : old) {
    if (slot.generation == generation_) slots_[probe(slot.key)] = slot;
  }
}

NgramMatcher::Slot& NgramMatcher::find_or_insert(uint64_t key) {
  if (2 * (n_nodes_ + size_t{1}) > slots_.size()) grow();
  Slot& slot = slots_[probe(key)];
  if (slot.generation != generation_) {
    slot = Slot{.key = key, .generation = generation_, .node = ++n_nodes_};
  }
  return slot;
}

void NgramMatcher::add_reference(std::span<const uint32_t> tokens) {
  ++n_references_;
  for (size_t start = 0; start < tokens.size(); ++start) {
    const size_t end = std::min(tokens.size(), start + max_order_);
    uint64_t prefix = 0;
    for (size_t i = start; i < end; ++i) {
      Slot& slot = find_or_insert(prefix << 32 | tokens[i]);
      if (slot.reference != n_references_) {
        slot.reference = n_references_;
        slot.count = 0;
      }
      slot.max_count = std::max(slot.max_count, ++slot.count);
      prefix = slot.node;
    }
  }
}

void NgramMatcher::match(std::span<const uint32_t> tokens, std::span<int64_t> matches) {
  std::fill(matches.begin(), matches.end(), 0);
  if (n_nodes_ == 0) return;
  for (size_t start = 0; start < tokens.size(); ++start) {
    const size_t end = std::min(tokens.size(), start + max_order_);
    uint64_t prefix = 0;
    for (size_t i = start; i < end && tokens[i] != kNoToken; ++i) {
      Slot& slot = slots_[probe(prefix << 32 | tokens[i])];
      if (slot.generation != generation_) break;  // no longer n-gram from here can match either
      if (++slot.matched <= slot.max_count) ++matches[i - start];
      prefix = slot.node;
    }
  }
}

}  // namespace skipbench
