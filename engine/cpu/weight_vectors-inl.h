// Weights of every type as vectors of f32, decoded in registers. A quantised weight has one value,
// d * q or d * q + m rounded once to f32 (d * q itself is exact: 11 + 8 significant bits), wherever
// and for however many rows it is decoded. Included once per instruction set.
#if defined(SKIPBENCH_ENGINE_CPU_WEIGHT_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SKIPBENCH_ENGINE_CPU_WEIGHT_VECTORS_INL_H_
#undef SKIPBENCH_ENGINE_CPU_WEIGHT_VECTORS_INL_H_
#else
#define SKIPBENCH_ENGINE_CPU_WEIGHT_VECTORS_INL_H_
#endif

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

// The common shape of the decoders below:
//   kStep       weights per call of `vectors` (one vector, or one block)
//   kScales     f32 scale values per block, prepared by `prepare`
//   kTail       whether a row may end inside a step (plain types only)
//   prepare     converts the scales of one row to f32
//   vector<I>   the I-th vector of step `s` of a row
template <DType kType>
struct PlainRow {
  static constexpr int64_t kStep = kLanes;
  static constexpr int kScales = 0;
  static constexpr bool kTail = true;

  static void prepare(const std::byte*, int64_t, float*) {}
  template <int kIndex>
  static HWY_INLINE VF vector(const std::byte* row, const float*, int64_t step) {
    return load_as_f32<kType>(row + step * kStep * block_bytes(kType));
  }
  static HWY_INLINE VF tail(const std::byte* row, int64_t step, int64_t count) {
    return load_tail_as_f32<kType>(row + step * kStep * block_bytes(kType), count);
  }
};

// `kCount` f16 values at the head of each block. Four are converted at once (every block is longer
// than 8 bytes) and the surplus is overwritten by the next block's: scales has 4 floats to spare.
template <DType kType, int kCount>
HWY_INLINE void prepare_scales(const std::byte* row, int64_t blocks, float* scales) {
  const hn::CappedTag<float, 4> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> d16;
  constexpr int kAtOnce = hn::MaxLanes(d);  // 1 in the portable fallback
  for (int64_t b = 0; b < blocks; ++b) {
    const auto* head = reinterpret_cast<const hwy::float16_t*>(row + b * block_bytes(kType));
    for (int i = 0; i < kCount; i += kAtOnce) {
      hn::StoreU(hn::PromoteTo(d, hn::LoadU(d16, head + i)), d, scales + b * kCount + i);
    }
  }
}

struct Q8Row {
  static constexpr int64_t kStep = kQuantBlock;
  static constexpr int kScales = 1;
  static constexpr bool kTail = false;

  static void prepare(const std::byte* row, int64_t blocks, float* scales) {
    prepare_scales<DType::kQ8_0, 1>(row, blocks, scales);
  }
  template <int kIndex>
  static HWY_INLINE VF vector(const std::byte* row, const float* scales, int64_t step) {
    const DF d;
    const hn::RebindToSigned<DF> di;
    const hn::Rebind<int8_t, DF> d8;
    const std::byte* quants = row + step * block_bytes(DType::kQ8_0) + 2 + kIndex * kLanes;
    const auto q = hn::PromoteTo(di, hn::LoadU(d8, reinterpret_cast<const int8_t*>(quants)));
    return hn::Mul(hn::ConvertTo(d, q), hn::Set(d, scales[step]));
  }
};

// Q4_0 (kHasMin false: w = d * (q - 8)) and Q4_1 (w = d * q + m).
template <bool kHasMin>
struct Q4Row {
  static constexpr DType kType = kHasMin ? DType::kQ4_1 : DType::kQ4_0;
  static constexpr int64_t kStep = kQuantBlock;
  static constexpr int kScales = kHasMin ? 2 : 1;
  static constexpr int kHeader = kHasMin ? 4 : 2;  // bytes before the quants
  static constexpr bool kTail = false;

  static void prepare(const std::byte* row, int64_t blocks, float* scales) {
    prepare_scales<kType, kScales>(row, blocks, scales);
  }

  template <int kIndex>
  static HWY_INLINE VF vector(const std::byte* row, const float* scales, int64_t step) {
    const DF d;
    const hn::RebindToSigned<DF> di;
    constexpr int64_t kFirst = kIndex * kLanes;  // of 32; the high nibbles hold the upper half
    constexpr bool kHigh = kFirst >= kQuantBlock / 2;
    const std::byte* quants = row + step * block_bytes(kType) + kHeader;
    auto q = load_bytes(quants + kFirst % (kQuantBlock / 2));
    if constexpr (kHigh) q = hn::ShiftRight<4>(q);
    if constexpr (kLanes == 16) {
      // All 16 values of the block stand in one register and the quant is the lane to pick: the
      // hardware looks at the index's low four bits only. Highway's debug builds insist on them.
      if constexpr (HWY_IS_DEBUG_BUILD) q = hn::And(q, hn::Set(di, 15));
      const VF table = value(hn::Iota(d, 0.0f), scales, step);
      return hn::TableLookupLanes(table, hn::IndicesFromVec(d, q));
    } else {
      if constexpr (!kHigh) q = hn::And(q, hn::Set(di, 15));
      return value(hn::ConvertTo(d, q), scales, step);
    }
  }

 private:
  static HWY_INLINE VF value(VF q, const float* scales, int64_t step) {
    const DF d;
    if constexpr (kHasMin) {
      return hn::MulAdd(hn::Set(d, scales[2 * step]), q, hn::Set(d, scales[2 * step + 1]));
    } else {
      return hn::Mul(hn::Set(d, scales[step]), hn::Sub(q, hn::Set(d, 8.0f)));
    }
  }
};

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

// Floats that the scales of one row of `cols` weights take, with room for prepare's surplus and a
// distance between rows that keeps them on their own cache lines.
template <typename Row>
constexpr int64_t scale_floats(int64_t cols) {
  if (Row::kScales == 0) return 0;
  return (cols / kQuantBlock * Row::kScales + 4 + 15) / 16 * 16;
}

// One row of `cols` weights as f32.
template <typename Row>
HWY_INLINE void decode_row(const std::byte* row, int64_t cols, float* scales, float* out) {
  const DF d;
  const int64_t steps = cols / Row::kStep;
  Row::prepare(row, steps, scales);
  for (int64_t s = 0; s < steps; ++s) {
    unroll<Row::kStep / kLanes>([&](auto i) HWY_ATTR {
      hn::StoreU(Row::template vector<i>(row, scales, s), d, out + s * Row::kStep + i * kLanes);
    });
  }
  if constexpr (Row::kTail) {
    const int64_t rest = cols - steps * Row::kStep;
    if (rest > 0) {
      store_some(DType::kF32, Row::tail(row, steps, rest), out + steps * Row::kStep, rest);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard, per instruction set
