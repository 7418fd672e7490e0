// Where heads stand in a row of the fused projection and in the cache, as kernels take it.
#pragma once

#include <cstdint>

#include "engine/cuda/elements.cuh"

namespace skipbench::cuda {

struct HeadLayout {
  int num_heads = 0;
  int num_kv_heads = 0;
  int dim = 0;
  bool per_head = false;  // QkvLayout::kPerHead
};

inline HeadLayout head_layout(const ModelConfig& config) {
  return {config.num_heads, config.num_kv_heads, config.head_dim,
          config.qkv_layout == QkvLayout::kPerHead};
}

// First column of a head's query, of a kv head's key, of its value.
__device__ __forceinline__ int64_t query_column(const HeadLayout& heads, int head) {
  return static_cast<int64_t>(heads.per_head ? 3 * head : head) * heads.dim;
}
__device__ __forceinline__ int64_t key_column(const HeadLayout& heads, int kv_head) {
  const int place = heads.per_head ? 3 * kv_head + 1 : heads.num_heads + kv_head;
  return static_cast<int64_t>(place) * heads.dim;
}
__device__ __forceinline__ int64_t value_column(const HeadLayout& heads, int kv_head) {
  const int place =
      heads.per_head ? 3 * kv_head + 2 : heads.num_heads + heads.num_kv_heads + kv_head;
  return static_cast<int64_t>(place) * heads.dim;
}

// The cache of one layer as kernels take it.
struct Cache {
  std::byte* keys = nullptr;  // [sequences, kv_heads, capacity, dim]
  std::byte* values = nullptr;
  DType type = DType::kF32;
  int64_t capacity = 0;
  uint8_t* present = nullptr;  // [sequences, capacity] or null
};

inline Cache device_cache(const KvView& view) {
  return {static_cast<std::byte*>(view.keys), static_cast<std::byte*>(view.values), view.type,
          view.capacity, view.present};
}

// First element of (sequence, kv head, position) in the keys or values.
__device__ __forceinline__ int64_t cache_offset(const HeadLayout& heads, const Cache& cache,
                                                int64_t sequence, int kv_head, int64_t position) {
  return ((sequence * heads.num_kv_heads + kv_head) * cache.capacity + position) * heads.dim;
}

// Slope of a head's ALiBi bias, slope * (key position - query position), as transformers'
// build_alibi_tensor defines it: heads beyond the largest power of two take every other slope of
// the next larger one.
__device__ __forceinline__ float alibi_slope(int head, int num_heads) {
  int power = 1;
  while (2 * power <= num_heads) power *= 2;
  const int eighths = head < power ? 8 * (head + 1) : 4 * (2 * (head - power) + 1);
  return exp2f(-static_cast<float>(eighths) / static_cast<float>(power));  // the division is exact
}

}  // namespace skipbench::cuda
