#include <algorithm>
#include <cmath>

#include "engine/cpu/operations.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/cpu/append_kv.cc"
// clang-format off
#include "hwy/foreach_target.h"  // must come before highway.h
// clang-format on
#include "engine/cpu/heads.h"
#include "engine/cpu/norm_row-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

// Rotates the pairs of one head in place; cosine, sine: [pairs]. Dimensions from 2 * pairs on stay.
HWY_INLINE void rotate(float* head, int64_t pairs, bool interleaved, const float* cosine,
                       const float* sine) {
  if (interleaved) {
    for (int64_t i = 0; i < pairs; ++i) {
      const float a = head[2 * i];
      const float b = head[2 * i + 1];
      head[2 * i] = a * cosine[i] - b * sine[i];
      head[2 * i + 1] = b * cosine[i] + a * sine[i];
    }
    return;
  }
  for (int64_t i = 0; i < pairs; i += kLanes) {
    const int64_t n = pairs - i;
    const VF a = load_some(DType::kF32, head + i, n);
    const VF b = load_some(DType::kF32, head + pairs + i, n);
    const VF c = load_some(DType::kF32, cosine + i, n);
    const VF s = load_some(DType::kF32, sine + i, n);
    store_some(DType::kF32, hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), head + i, n);
    store_some(DType::kF32, hn::Add(hn::Mul(b, c), hn::Mul(a, s)), head + pairs + i, n);
  }
}

// One head, in f32, normalised (norm not empty) and rotated (pairs > 0).
HWY_INLINE void transform(const ModelConfig& config, const NormWeights& norm, const float* cosine,
                          const float* sine, int64_t pairs, float* head) {
  if (config.qk_norm) {
    norm_row(NormKind::kRmsNorm, config.norm_epsilon, norm.gain.data(), data_or_null(norm.bias),
             head, config.head_dim, head);
  }
  if (pairs > 0) rotate(head, pairs, config.rope.interleaved, cosine, sine);
}

void append_rows(const AppendKvArgs& args, const RopeCache& rope, Scratch& scratch, int64_t begin,
                 int64_t end) {
  const ModelConfig& config = *args.config;
  const int64_t dim = config.head_dim;
  const int64_t pairs = rope_pairs(config);
  const int64_t element = block_bytes(args.qkv.type);
  float* head = scratch.get<float>(Slot::kPartial, dim);
  for (int64_t r = begin; r < end; ++r) {
    std::byte* row = bytes_at(args.qkv.data, r * args.qkv.stride * element);
    const float* cosine = rope.cosine.data() + r * pairs;
    const float* sine = rope.sine.data() + r * pairs;
    for (int h = 0; h < config.num_heads && !args.keys_and_values_only; ++h) {
      std::byte* query = row + query_column(config, h) * element;
      convert_row_to_f32(args.qkv.type, query, dim, head);
      transform(config, args.layer->query_norm, cosine, sine, pairs, head);
      convert_row_from_f32(head, dim, args.qkv.type, query);
    }
    for (int h = 0; h < config.num_kv_heads; ++h) {
      const int64_t slot =
          cache_offset(config, args.cache, args.rows.sequence[r], h, args.rows.position[r]);
      const int64_t offset = slot * block_bytes(args.cache.type);
      convert_row_to_f32(args.qkv.type, row + key_column(config, h) * element, dim, head);
      transform(config, args.layer->key_norm, cosine, sine, pairs, head);
      convert_row_from_f32(head, dim, args.cache.type, bytes_at(args.cache.keys, offset));
      convert_row_to_f32(args.qkv.type, row + value_column(config, h) * element, dim, head);
      convert_row_from_f32(head, dim, args.cache.type, bytes_at(args.cache.values, offset));
    }
    if (args.cache.present != nullptr) {
      args.cache.present[args.rows.sequence[r] * args.cache.capacity + args.rows.position[r]] = 1;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skipbench::cpu {
namespace {

HWY_EXPORT(append_rows);

// Brings the cache to the angles of these rows; computes only those that the last pass had not.
// In f64: the angle p * frequency has too few bits in f32 once p is in the thousands.
void update_rope(const ModelConfig& config, const RowTable& rows, RopeCache& cache) {
  const int64_t pairs = rope_pairs(config);
  if (cache.inverse_frequencies != config.rope.inverse_frequencies ||
      cache.attention_factor != config.rope.attention_factor) {
    cache.inverse_frequencies = config.rope.inverse_frequencies;
    cache.attention_factor = config.rope.attention_factor;
    cache.position.clear();
  }
  if (static_cast<int64_t>(cache.position.size()) < rows.rows) {
    cache.position.resize(rows.rows, -1);
    cache.cosine.resize(rows.rows * pairs);
    cache.sine.resize(rows.rows * pairs);
  }
  for (int64_t r = 0; r < rows.rows; ++r) {
    if (cache.position[r] == rows.position[r]) continue;
    cache.position[r] = rows.position[r];
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle = rows.position[r] * config.rope.inverse_frequencies[i];
      cache.cosine[r * pairs + i] =
          static_cast<float>(std::cos(angle) * config.rope.attention_factor);
      cache.sine[r * pairs + i] =
          static_cast<float>(std::sin(angle) * config.rope.attention_factor);
    }
  }
}

}  // namespace

void append_kv(Context& context, const AppendKvArgs& args) {
  if (rope_pairs(*args.config) > 0) update_rope(*args.config, args.rows, context.rope);
  context.pool.parallel_for(args.rows.rows, 8, [&](int64_t begin, int64_t end, int thread) {
    HWY_DYNAMIC_DISPATCH(append_rows)
    (args, context.rope, context.thread_scratch[thread], begin, end);
  });
}

}  // namespace skipbench::cpu
#endif  // HWY_ONCE
