#include "engine/kv_cache.h"

#include <atomic>
#include <utility>

namespace skipbench {

std::shared_ptr<KvMemory> make_kv_memory(int num_layers, const KvCacheShape& shape) {
  static std::atomic<uint64_t> last_id{0};
  return std::make_shared<KvMemory>(
      KvMemory{.sequences = shape.sequences,
               .capacity = shape.capacity,
               .id = ++last_id,
               .layers = std::vector<KvView>(static_cast<size_t>(num_layers) + 1),
               .buffers = {}});
}

KvCache::KvCache(const ModelConfig& config, Backend& backend, const KvCacheShape& shape,
                 std::shared_ptr<KvMemory> memory)
    : shape_(shape), memory_(std::move(memory)), layers_(config.num_layers) {
  const DType type = backend.activation_type();
  const int64_t slots = shape.sequences * shape.capacity;
  const int64_t bytes = bytes_of(type, slots * config.num_kv_heads * config.head_dim);
  const auto allocate = [&](int64_t size) {
    return memory_->buffers.emplace_back(backend.allocate(static_cast<size_t>(size))).get();
  };
  const auto keys_and_values = [&](int place) -> KvView& {
    KvView& view = memory_->layers[static_cast<size_t>(place)];
    view.type = type;
    view.capacity = shape.capacity;
    if (view.keys == nullptr) view.keys = allocate(bytes);
    if (view.values == nullptr) view.values = allocate(bytes);
    return view;
  };
  bool has_transient = false;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    if (shape.cached.attention(layer)) {
      KvView& view = keys_and_values(layer);
      layers_[layer] = view;
      layers_[layer].present = nullptr;
      bytes_ += 2 * bytes;
      if (!shape.with_presence) continue;
      if (view.present == nullptr) view.present = static_cast<uint8_t*>(allocate(slots));
      layers_[layer].present = view.present;
      backend.fill_zero(view.present, static_cast<size_t>(slots));
      bytes_ += slots;
    } else if (shape.prefilled.attention(layer)) {
      layers_[layer] = keys_and_values(config.num_layers);
      has_transient = true;
    }
  }
  if (has_transient) bytes_ += 2 * bytes;
}

void KvCache::share_positions(const int32_t* source) {
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    if (shape_.cached.attention(static_cast<int>(layer))) layers_[layer].source = source;
  }
}

}  // namespace skipbench
