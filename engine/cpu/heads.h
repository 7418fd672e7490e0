// Where heads stand in a row of the fused projection and in the cache.
#pragma once

#include <cstdint>

#include "engine/backend.h"

namespace skipbench::cpu {

// First column of a head's query in a row of qkv.
inline int64_t query_column(const ModelConfig& config, int head) {
  const int64_t dim = config.head_dim;
  return config.qkv_layout == QkvLayout::kPerHead ? 3 * head * dim : head * dim;
}

// First column of a kv head's key, of its value.
inline int64_t key_column(const ModelConfig& config, int kv_head) {
  const int64_t dim = config.head_dim;
  if (config.qkv_layout == QkvLayout::kPerHead) return (3 * kv_head + 1) * dim;
  return (config.num_heads + kv_head) * dim;
}
inline int64_t value_column(const ModelConfig& config, int kv_head) {
  const int64_t dim = config.head_dim;
  if (config.qkv_layout == QkvLayout::kPerHead) return (3 * kv_head + 2) * dim;
  return (config.num_heads + config.num_kv_heads + kv_head) * dim;
}

// First element of (sequence, kv head, position) in the cache's keys or values.
inline int64_t cache_offset(const ModelConfig& config, const KvView& cache, int64_t sequence,
                            int64_t kv_head, int64_t position) {
  return ((sequence * config.num_kv_heads + kv_head) * cache.capacity + position) * config.head_dim;
}

// Pairs that RoPE rotates, 0 without it.
inline int64_t rope_pairs(const ModelConfig& config) {
  if (config.position != PositionKind::kRope) return 0;
  return static_cast<int64_t>(config.rope.inverse_frequencies.size());
}

}  // namespace skipbench::cpu
