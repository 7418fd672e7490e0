// Weights of every type as vectors of f32, decoded in registers. A quantised weight has one value,
// d * q or d * q + m rounded once to f32 (d * q itself is exact: 11 + 8 significant bits), wherever
// and for however many rows it is decoded. Included once per instruction set.
#if defined(SKIPBENCH_ENGINE_CPU_WEIGHT_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SKIPBENCH_ENGINE_CPU_WEIGHT_VECTORS_INL_H_
#undef SKIPBENCH_ENGINE_CPU_WEIGHT_VECTORS_INL_H_
#else
#define SKIPBENCH_ENGINE_CPU_WEIGHT_VECTORS_INL_H_
#endif

#include <algorithm>

#include "engine/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

// Bytes 0 .. kLanes - 1 at `data`, each in its own 32-bit lane.
HWY_INLINE hn::Vec<hn::RebindToSigned<DF>> load_bytes(const std::byte* data) {
  const hn::RebindToSigned<DF> di;
  const hn::Rebind<uint8_t, DF> d8;
  return hn::PromoteTo(di, hn::LoadU(d8, reinterpret_cast<const uint8_t*>(data)));
}

// Blocks of a row that are worked on at a time, and whose scales are prepared together.
constexpr int64_t kPieceBlocks = 24;

// The common shape of the decoders below:
//   kType, kStep  weights per step: one vector, or one block
//   kScaled       whether blocks have scales; `pair` is then (d, m), see prepare_scales
//   vector<I>     the I-th vector of the step whose bytes begin at `step`
template <DType kPlainType>
struct PlainRow {
  static constexpr DType kType = kPlainType;
  static constexpr int64_t kStep = kLanes;
  static constexpr bool kScaled = false;

  template <int kIndex>
  static HWY_INLINE VF vector(const std::byte* step, const float*) {
    return load_as_f32<kType>(step);
  }
  // The last `count` < kLanes weights of a row, then zeros.
  static HWY_INLINE VF tail(const std::byte* step, int64_t count) {
    return load_tail_as_f32<kType>(step, count);
  }
};

struct Q8Row {
  static constexpr DType kType = DType::kQ8_0;
  static constexpr int64_t kStep = kQuantBlock;
  static constexpr bool kScaled = true;

  template <int kIndex>
  static HWY_INLINE VF vector(const std::byte* step, const float* pair) {
    const DF d;
    const hn::RebindToSigned<DF> di;
    const hn::Rebind<int8_t, DF> d8;
    const auto* quants = reinterpret_cast<const int8_t*>(step + 2 + kIndex * kLanes);
    return hn::Mul(hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(d8, quants))), hn::Set(d, pair[0]));
  }
};

// Q4_0 (kHasMin false: w = d * (q - 8)) and Q4_1 (w = d * q + m).
template <bool kHasMin>
struct Q4Row {
  static constexpr DType kType = kHasMin ? DType::kQ4_1 : DType::kQ4_0;
  static constexpr int64_t kStep = kQuantBlock;
  static constexpr bool kScaled = true;

  template <int kIndex>
  static HWY_INLINE VF vector(const std::byte* step, const float* pair) {
    const DF d;
    const hn::RebindToSigned<DF> di;
    constexpr int64_t kHeader = kHasMin ? 4 : 2;  // bytes before the quants
    constexpr int64_t kFirst = kIndex * kLanes;   // of 32; the high nibbles hold the upper half
    constexpr bool kHigh = kFirst >= kQuantBlock / 2;
    auto q = load_bytes(step + kHeader + kFirst % (kQuantBlock / 2));
    if constexpr (kHigh) q = hn::ShiftRight<4>(q);
    if constexpr (kLanes == 16) {
      // All 16 values of the block stand in one register and the quant is the lane to pick: the
      // hardware looks at the index's low four bits only. Highway's debug builds insist on them.
      if constexpr (HWY_IS_DEBUG_BUILD) q = hn::And(q, hn::Set(di, 15));
      const VF table = value(hn::Iota(d, 0.0f), pair);
      return hn::TableLookupLanes(table, hn::IndicesFromVec(d, q));
    } else {
      if constexpr (!kHigh) q = hn::And(q, hn::Set(di, 15));
      return value(hn::ConvertTo(d, q), pair);
    }
  }

 private:
  static HWY_INLINE VF value(VF q, const float* pair) {
    const DF d;
    if constexpr (kHasMin) return hn::MulAdd(hn::Set(d, pair[0]), q, hn::Set(d, pair[1]));
    return hn::Mul(hn::Set(d, pair[0]), hn::Sub(q, hn::Set(d, 8.0f)));
  }
};

// The heads of blocks, their first four bytes, are copied by integer moves and converted to f32 a
// vector at a time: pairs[block][row][2] is (d, m), or d and a number without meaning where blocks
// have no m. Apart from the products, since a scale that comes from memory is broadcast for free,
// and since the products leave the vector units no time for converting one by one.
HWY_INLINE void copy_head(const std::byte* block, uint32_t* head) {
  uint32_t value;
  std::memcpy(&value, block, sizeof(value));
  asm("" : "+r"(value));  // else GCC 12 builds vectors of them, in the very units to be spared
  *head = value;
}

template <DType kType, int kRows>
HWY_INLINE void copy_heads(const std::byte* const* rows, int64_t first_block, int64_t blocks,
                           uint32_t* heads) {
  for (int64_t b = 0; b < blocks; ++b) {
    unroll<kRows>([&](auto r) HWY_ATTR {
      copy_head(rows[r] + (first_block + b) * block_bytes(kType), heads + b * kRows + r);
    });
  }
}

// `count` heads to pairs; both arrays have kLanes elements to spare.
HWY_INLINE void convert_heads(const uint32_t* heads, int64_t count, float* pairs) {
  const DF d;
  const hn::Rebind<hwy::float16_t, DF> d16;
  const auto* halves = reinterpret_cast<const hwy::float16_t*>(heads);
  for (int64_t i = 0; i < 2 * count; i += kLanes) {
    hn::StoreU(hn::PromoteTo(d, hn::LoadU(d16, halves + i)), d, pairs + i);
  }
}

// Calls fn(decoder) with the decoder of a type known at run time.
template <typename Fn>
HWY_INLINE void with_row_decoder(DType type, Fn&& fn) {
  switch (type) {
    case DType::kF32:
      return fn(PlainRow<DType::kF32>());
    case DType::kF16:
      return fn(PlainRow<DType::kF16>());
    case DType::kBF16:
      return fn(PlainRow<DType::kBF16>());
    case DType::kQ8_0:
      return fn(Q8Row());
    case DType::kQ4_0:
      return fn(Q4Row<false>());
    case DType::kQ4_1:
      return fn(Q4Row<true>());
  }
}

// One row of `cols` weights as f32.
template <typename Row>
HWY_INLINE void decode_row(const std::byte* row, int64_t cols, float* out) {
  const DF d;
  alignas(64) uint32_t heads[kPieceBlocks + kLanes];
  alignas(64) float pairs[2 * (kPieceBlocks + kLanes)];
  const int64_t steps = cols / Row::kStep;
  const int64_t step_bytes = bytes_of(Row::kType, Row::kStep);
  for (int64_t s = 0; s < steps; ++s) {
    if constexpr (Row::kScaled) {
      if (s % kPieceBlocks == 0) {
        const int64_t blocks = std::min(kPieceBlocks, steps - s);
        copy_heads<Row::kType, 1>(&row, s, blocks, heads);
        convert_heads(heads, blocks, pairs);
      }
    }
    unroll<Row::kStep / kLanes>([&](auto i) HWY_ATTR {
      const VF value =
          Row::template vector<i>(row + s * step_bytes, pairs + 2 * (s % kPieceBlocks));
      hn::StoreU(value, d, out + s * Row::kStep + i * kLanes);
    });
  }
  if constexpr (!Row::kScaled) {
    const int64_t rest = cols - steps * Row::kStep;
    if (rest > 0) {
      store_some(DType::kF32, Row::tail(row + steps * step_bytes, rest), out + steps * Row::kStep,
                 rest);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard, per instruction set
