// Steps that a device has recorded, by what makes two steps the same work. Bounded: the least
// recently used goes, and a step that comes once is never recorded but queued operation by
// operation.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>

#include "engine/backend.h"
#include "engine/layer_counter.h"
#include "strategies/layer_set.h"

namespace skipbench {

class Recordings {
 public:
  // Strategies that take turns keep theirs: SkipDecode alone has up to 2K - 1 layer sets a target.
  static constexpr size_t kMost = 256;

  // What a recorded step was made of: its layers, its rows, and whose memory it points into.
  struct Key {
    LayerSet layers;
    int64_t rows = 0;
    uint64_t cache = 0;  // KvCache::memory_id
    bool with_presence = false;
    int64_t moves = 0;  // of the buffers of the pass
    int64_t ends = 0;   // ids that end a row
    Sampling sampling;
    int64_t rule = 0;  // of exits: 0 for none, another for each kind of test

    bool operator==(const Key&) const = default;
  };

  explicit Recordings(Backend& backend) : backend_(backend) {}

  // Queues the work that `queue` queues. The first time by calling it, which allocates what the
  // work needs; the second time it is recorded as well; from then on it is replayed, without a
  // call. The key is asked for after the first call, since that may move buffers. Returns the
  // layers that the work runs: what `queue` has counted, now or when the recording was made.
  RanLayers run(const std::function<Key()>& key, const std::function<RanLayers()>& queue);

  int64_t recorded() const { return recorded_; }  // since the beginning
  int64_t replayed() const { return replayed_; }
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Key key;
    std::unique_ptr<Recording> recording;  // null: came once
    RanLayers ran;                         // of the recording
  };

  Backend& backend_;
  std::list<Entry> entries_;  // the least recently used first
  int64_t recorded_ = 0;
  int64_t replayed_ = 0;
};

}  // namespace skipbench
