#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "engine/cpu/operations.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/cpu/attend.cc"
// clang-format off
#include "hwy/foreach_target.h"  // must come before highway.h
// clang-format on
#include "engine/cpu/dot_tile-inl.h"
#include "engine/cpu/heads.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

#ifndef SKIPBENCH_ENGINE_CPU_ATTEND_ONCE_
#define SKIPBENCH_ENGINE_CPU_ATTEND_ONCE_
namespace skipbench::cpu {
namespace {

constexpr int64_t kQueryTile = 4;       // queries of a group that share one reading of keys, values
constexpr int64_t kPositionBlock = 64;  // positions whose row addresses are gathered at a time

// One (row, kv head): which positions it sees, and its query group.
struct AttendItem {
  const AttendArgs* args = nullptr;
  int64_t row = 0;
  int kv_head = 0;
  int64_t count = 0;                   // positions seen
  const int32_t* positions = nullptr;  // [count], ascending
  // [count]: where their keys and values stand, in rows of head_dim from `sequence`'s.
  const int32_t* slots = nullptr;
  int64_t sequence = 0;
};

}  // namespace
}  // namespace skipbench::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

// Positions max(0, p - window + 1) .. p that are present. Returns their number.
int64_t seen_positions(const AttendArgs& args, int64_t row, int32_t* positions) {
  const int64_t last = args.rows.position[row];
  const int64_t first = args.window > 0 ? std::max<int64_t>(0, last - args.window + 1) : 0;
  int64_t count = 0;
  if (args.cache.present == nullptr) {
    for (int64_t p = first; p <= last; ++p) positions[count++] = static_cast<int32_t>(p);
    return count;
  }
  const int64_t own = args.rows.sequence[row], capacity = args.cache.capacity;
  const int32_t* source = args.cache.source;
  for (int64_t p = first; p <= last; ++p) {
    const int64_t sequence = source == nullptr ? own : source[own * capacity + p];
    if (args.cache.present[sequence * capacity + p] == 0) continue;
    positions[count++] = static_cast<int32_t>(p);
  }
  return count;
}

// Where the item's keys and values stand: at its positions in its own memory, or in that of the
// sequences that it shares them with, counted from the first one's. `slots`: [count], room for the
// latter.
void find_slots(AttendItem& item, int32_t* slots) {
  const AttendArgs& args = *item.args;
  item.sequence = args.rows.sequence[item.row];
  item.slots = item.positions;
  if (args.cache.source == nullptr) return;
  const int64_t capacity = args.cache.capacity;
  const int32_t* source = args.cache.source + item.sequence * capacity;
  for (int64_t i = 0; i < item.count; ++i) {
    const int64_t p = item.positions[i];
    slots[i] = static_cast<int32_t>(source[p] * args.config->num_kv_heads * capacity + p);
  }
  item.sequence = 0;
  item.slots = slots;
}

// Dot products of `queries` <= kQueryTile queries with the item's keys: scores[q][0 .. count).
template <typename Row>
HWY_INLINE void key_scores(const AttendItem& item, const float* const* query, int64_t queries,
                           float* const* scores) {
  const AttendArgs& args = *item.args;
  const int64_t row_bytes = args.config->head_dim * block_bytes(args.cache.type);
  const std::byte* keys = bytes_at(
      args.cache.keys, cache_offset(*args.config, args.cache, item.sequence, item.kv_head, 0) *
                           block_bytes(args.cache.type));
  for (int64_t first = 0; first < item.count; first += kPositionBlock) {
    const int64_t n = std::min(kPositionBlock, item.count - first);
    const std::byte* rows[kPositionBlock];
    float* result[kQueryTile];
    for (int64_t i = 0; i < n; ++i) rows[i] = keys + item.slots[first + i] * row_bytes;
    for (int64_t q = 0; q < queries; ++q) result[q] = scores[q] + first;
    dot_rows<Row>(rows, n, query, queries, args.config->head_dim, nullptr, result);
  }
}

// Scores to weights exp(score - max), not yet divided by their sum, which is returned.
HWY_INLINE float exponentials(const AttendItem& item, float scale, float slope, float* scores) {
  const DF d;
  const hn::RebindToSigned<DF> di;
  const VF scale_v = hn::Set(d, scale);
  const VF slope_v = hn::Set(d, slope);
  const auto own = hn::Set(di, item.args->rows.position[item.row]);
  const VF lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  VF max_v = lowest;
  // The buffers reach kLanes beyond count: whole vectors are read, surplus lanes masked.
  for (int64_t i = 0; i < item.count; i += kLanes) {
    VF score = hn::Mul(hn::LoadU(d, scores + i), scale_v);
    if (slope != 0) {
      const auto distance = hn::Sub(hn::LoadU(di, item.positions + i), own);
      score = hn::MulAdd(hn::ConvertTo(d, distance), slope_v, score);
    }
    if (item.count - i < kLanes) {
      score = hn::IfThenElse(hn::FirstN(d, item.count - i), score, lowest);
    }
    hn::StoreU(score, d, scores + i);
    max_v = hn::Max(max_v, score);
  }
  const VF max = hn::MaxOfLanes(d, max_v);
  VF sum = hn::Zero(d);
  for (int64_t i = 0; i < item.count; i += kLanes) {
    VF weight = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + i), max));
    if (item.count - i < kLanes) {
      weight = hn::IfThenElseZero(hn::FirstN(d, item.count - i), weight);
    }
    hn::StoreU(weight, d, scores + i);
    sum = hn::Add(sum, weight);
  }
  return sum_of_lanes(sum);
}

// out[q][0 .. kVectors * kLanes) (or `tail` elements of one vector) = factor[q] * sum over
// positions of weight[q][i] * value_i, positions in ascending order.
template <DType kType, int kQueries, int kVectors>
HWY_INLINE void add_values(const AttendItem& item, const std::byte* values, int64_t row_bytes,
                           const float* const* weights, const float* factor, int64_t tail,
                           float* const* out) {
  const DF d;
  VF sum[kQueries][kVectors];
  unroll<kQueries>([&](auto q) HWY_ATTR {
    unroll<kVectors>([&](auto v) HWY_ATTR { sum[q][v] = hn::Zero(d); });
  });
  for (int64_t i = 0; i < item.count; ++i) {
    const std::byte* row = values + item.slots[i] * row_bytes;
    VF value[kVectors];
    unroll<kVectors>([&](auto v) HWY_ATTR {
      value[v] = tail > 0 ? load_tail_as_f32<kType>(row, tail)
                          : load_as_f32<kType>(row + v * kLanes * block_bytes(kType));
    });
    unroll<kQueries>([&](auto q) HWY_ATTR {
      const VF weight = hn::Set(d, weights[q][i]);
      unroll<kVectors>([&](auto v)
                           HWY_ATTR { sum[q][v] = hn::MulAdd(weight, value[v], sum[q][v]); });
    });
  }
  unroll<kQueries>([&](auto q) HWY_ATTR {
    unroll<kVectors>([&](auto v) HWY_ATTR {
      const VF result = hn::Mul(sum[q][v], hn::Set(d, factor[q]));
      store_some(DType::kF32, result, out[q] + v * kLanes, tail > 0 ? tail : kLanes);
    });
  });
}

// The weighted sums of values for a tile of kQueries queries over the whole head.
template <DType kType, int kQueries>
HWY_NOINLINE void weighted_values(const AttendItem& item, const float* const* weights,
                                  const float* factor, float* const* out) {
  const AttendArgs& args = *item.args;
  const int64_t dim = args.config->head_dim;
  const int64_t element = block_bytes(kType);
  const std::byte* values =
      bytes_at(args.cache.values,
               cache_offset(*args.config, args.cache, item.sequence, item.kv_head, 0) * element);
  constexpr int kVectors = kLanes == 16 ? 4 : 2;
  float* part[kQueries];
  int64_t c = 0;
  const auto at_column = [&] {
    for (int q = 0; q < kQueries; ++q) part[q] = out[q] + c;
    return values + c * element;
  };
  for (; c + kVectors * kLanes <= dim; c += kVectors * kLanes) {
    const std::byte* column = at_column();
    add_values<kType, kQueries, kVectors>(item, column, dim * element, weights, factor, 0, part);
  }
  for (; c + kLanes <= dim; c += kLanes) {
    const std::byte* column = at_column();
    add_values<kType, kQueries, 1>(item, column, dim * element, weights, factor, 0, part);
  }
  if (c < dim) {
    const std::byte* column = at_column();
    add_values<kType, kQueries, 1>(item, column, dim * element, weights, factor, dim - c, part);
  }
}

template <DType kType>
void attend_item(const AttendItem& item, Scratch& scratch) {
  const AttendArgs& args = *item.args;
  const ModelConfig& config = *args.config;
  const int64_t dim = config.head_dim;
  const int group = config.num_heads / config.num_kv_heads;
  const int64_t score_stride = args.cache.capacity + kAlignment;
  float* space = scratch.get<float>(Slot::kScores, kQueryTile * score_stride);
  float* heads = scratch.get<float>(Slot::kPartial, 2 * kQueryTile * dim);
  const std::byte* qkv =
      bytes_at(args.qkv.data, item.row * args.qkv.stride * block_bytes(args.qkv.type));
  std::byte* out = bytes_at(args.out.data, item.row * args.out.stride * block_bytes(args.out.type));
  for (int first = 0; first < group; first += kQueryTile) {
    const int queries = std::min<int>(kQueryTile, group - first);
    const float* query[kQueryTile];
    float* scores[kQueryTile];
    float* result[kQueryTile];
    float factor[kQueryTile];
    for (int q = 0; q < queries; ++q) {
      float* q_row = heads + q * dim;
      const int head = item.kv_head * group + first + q;
      convert_row_to_f32(args.qkv.type,
                         qkv + query_column(config, head) * block_bytes(args.qkv.type), dim, q_row);
      query[q] = q_row;
      scores[q] = space + q * score_stride;
      result[q] = heads + (kQueryTile + q) * dim;
    }
    key_scores<PlainRow<kType>>(item, query, queries, scores);
    for (int q = 0; q < queries; ++q) {
      const int head = item.kv_head * group + first + q;
      const float slope =
          config.position == PositionKind::kAlibi ? alibi_slope(head, config.num_heads) : 0.0f;
      factor[q] =
          1.0f / exponentials(item, static_cast<float>(config.attention_scale), slope, scores[q]);
    }
    switch (queries) {
      case 1:
        weighted_values<kType, 1>(item, scores, factor, result);
        break;
      case 2:
        weighted_values<kType, 2>(item, scores, factor, result);
        break;
      case 3:
        weighted_values<kType, 3>(item, scores, factor, result);
        break;
      default:
        weighted_values<kType, 4>(item, scores, factor, result);
        break;
    }
    for (int q = 0; q < queries; ++q) {
      const int64_t column = (item.kv_head * group + first + q) * dim;
      convert_row_from_f32(result[q], dim, args.out.type,
                           out + column * block_bytes(args.out.type));
    }
  }
}

// Items [begin, end) of rows x kv heads.
void attend_items(const AttendArgs& args, Scratch& scratch, int64_t begin, int64_t end) {
  const int64_t room = args.cache.capacity + kAlignment;
  auto* positions = scratch.get<int32_t>(Slot::kPositions, 2 * room);
  int64_t listed_row = -1;
  AttendItem item;
  item.args = &args;
  item.positions = positions;
  for (int64_t i = begin; i < end; ++i) {
    item.row = i / args.config->num_kv_heads;
    item.kv_head = static_cast<int>(i % args.config->num_kv_heads);
    if (item.row != listed_row) {
      item.count = seen_positions(args, item.row, positions);
      find_slots(item, positions + room);
      listed_row = item.row;
    }
    assert(item.count > 0);
    switch (args.cache.type) {
      case DType::kF16:
        attend_item<DType::kF16>(item, scratch);
        break;
      case DType::kBF16:
        attend_item<DType::kBF16>(item, scratch);
        break;
      default:
        attend_item<DType::kF32>(item, scratch);
        break;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skipbench::cpu {
namespace {
HWY_EXPORT(attend_items);
}

float alibi_slope(int head, int num_heads) {
  int power = 1;
  while (2 * power <= num_heads) power *= 2;
  // Heads beyond the largest power of two take every other slope of the next larger one.
  if (head < power) return static_cast<float>(std::exp2(-8.0 * (head + 1) / power));
  return static_cast<float>(std::exp2(-4.0 * (2 * (head - power) + 1) / power));
}

void attend(Context& context, const AttendArgs& args) {
  const int64_t items = args.rows.rows * args.config->num_kv_heads;
  context.pool.parallel_for(items, 1, [&](int64_t begin, int64_t end, int thread) {
    HWY_DYNAMIC_DISPATCH(attend_items)(args, context.thread_scratch[thread], begin, end);
  });
}

}  // namespace skipbench::cpu
#endif  // HWY_ONCE
