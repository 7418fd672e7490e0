// Keys and values of a batch, by layer: which layers have memory, and whose it is.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/backend.h"
#include "strategies/layer_set.h"

namespace skipbench {

// What a batch's cache holds. Layers of `prefilled` outside `cached` share one transient layer,
// which holds a prompt's keys and values only while that layer's prefill runs; layers in neither
// have no memory.
struct KvCacheShape {
  int64_t sequences = 0;
  int64_t capacity = 0;  // positions per sequence
  LayerSet prefilled;
  LayerSet cached;
  bool with_presence = false;  // slots may stay empty (see KvView::present)

  bool operator==(const KvCacheShape&) const = default;
};

// Memory for caches of one size: keys and values per layer, allocated when a cache first asks for
// the layer's. Caches one after another may share it, since each begins anew.
struct KvMemory {
  int64_t sequences = 0;
  int64_t capacity = 0;
  uint64_t id = 0;             // of no other of this process: recordings hold addresses
  std::vector<KvView> layers;  // [num_layers + 1], the last one transient
  std::vector<DeviceBuffer> buffers;
};

// Memory for `shape`, of which nothing is allocated yet.
std::shared_ptr<KvMemory> make_kv_memory(int num_layers, const KvCacheShape& shape);

class KvCache {
 public:
  KvCache(const ModelConfig& config, Backend& backend, const KvCacheShape& shape,
          std::shared_ptr<KvMemory> memory);

  const KvCacheShape& shape() const { return shape_; }
  uint64_t memory_id() const { return memory_->id; }
  KvView layer(int layer) const { return layers_[layer]; }
  int64_t bytes() const { return bytes_; }
  // Sets KvView::source of all layers that steps read.
  void share_positions(const int32_t* source);

 private:
  KvCacheShape shape_;
  std::shared_ptr<KvMemory> memory_;
  std::vector<KvView> layers_;  // [num_layers]
  int64_t bytes_ = 0;
};

}  // namespace skipbench
