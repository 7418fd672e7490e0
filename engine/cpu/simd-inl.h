// Vectors of f32 from and to rows of any activation type. Included once per instruction set.
#if defined(SKIPBENCH_ENGINE_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SKIPBENCH_ENGINE_CPU_SIMD_INL_H_
#undef SKIPBENCH_ENGINE_CPU_SIMD_INL_H_
#else
#define SKIPBENCH_ENGINE_CPU_SIMD_INL_H_
#endif

#include <cstring>
#include <utility>

#include "engine/base/dtype.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
constexpr int64_t kLanes = hn::MaxLanes(DF());  // exact: the targets built here are fixed-size

// Calls fn(integral_constant<int, i>) for i = 0 .. N - 1, unrolled: arrays of vectors indexed by
// the constant stay in registers.
template <int N, typename Fn>
HWY_INLINE void unroll(Fn&& fn) {
  [&]<int... I>(std::integer_sequence<int, I...>) HWY_ATTR {
    (fn(std::integral_constant<int, I>()), ...);
  }
  (std::make_integer_sequence<int, N>());
}

HWY_INLINE const std::byte* bytes_at(const void* data, int64_t bytes) {
  return static_cast<const std::byte*>(data) + bytes;
}
HWY_INLINE std::byte* bytes_at(void* data, int64_t bytes) {
  return static_cast<std::byte*>(data) + bytes;
}

// kLanes consecutive elements at `data`, which need not be aligned.
template <DType kType>
HWY_INLINE VF load_as_f32(const void* data) {
  const DF d;
  if constexpr (kType == DType::kF32) {
    return hn::LoadU(d, static_cast<const float*>(data));
  } else if constexpr (kType == DType::kF16) {
    const hn::Rebind<hwy::float16_t, DF> d16;
    return hn::PromoteTo(d, hn::LoadU(d16, static_cast<const hwy::float16_t*>(data)));
  } else {
    static_assert(kType == DType::kBF16);
    const hn::Rebind<hwy::bfloat16_t, DF> d16;
    return hn::PromoteTo(d, hn::LoadU(d16, static_cast<const hwy::bfloat16_t*>(data)));
  }
}

// The first `count` < kLanes elements at `data`, then zeros; reads nothing behind them.
template <DType kType>
HWY_INLINE VF load_tail_as_f32(const void* data, int64_t count) {
  alignas(64) std::byte buffer[sizeof(float) * kLanes] = {};
  std::memcpy(buffer, data, count * block_bytes(kType));
  return load_as_f32<kType>(buffer);
}

// Rounds to nearest even, once. Highway 1.0.3 truncates to bf16, so that is spelt out here.
template <DType kType>
HWY_INLINE void store_from_f32(VF value, void* data) {
  const DF d;
  if constexpr (kType == DType::kF32) {
    hn::StoreU(value, d, static_cast<float*>(data));
  } else if constexpr (kType == DType::kF16) {
#if HWY_TARGET == HWY_STATIC_TARGET  // its DemoteTo is not trusted with the rounding
    float lanes[kLanes];
    hn::StoreU(value, d, lanes);
    for (int64_t i = 0; i < kLanes; ++i) {
      const uint16_t bits = f32_to_f16(lanes[i]);
      std::memcpy(bytes_at(data, 2 * i), &bits, sizeof(bits));
    }
#else
    const hn::Rebind<hwy::float16_t, DF> d16;
    hn::StoreU(hn::DemoteTo(d16, value), d16, static_cast<hwy::float16_t*>(data));
#endif
  } else {
    static_assert(kType == DType::kBF16);
    const hn::RebindToUnsigned<DF> du;
    const hn::Rebind<uint16_t, DF> d16;
    const auto bits = hn::BitCast(du, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto rounded = hn::Add(hn::Add(bits, hn::Set(du, 0x7fff)), odd);
    const auto quiet = hn::Or(bits, hn::Set(du, 0x400000));  // a NaN stays one
    const auto is_nan = hn::RebindMask(du, hn::IsNaN(value));
    const auto high = hn::ShiftRight<16>(hn::IfThenElse(is_nan, quiet, rounded));
    // Values below 2^16 as signed words: the narrowing saturates only what cannot occur.
    const hn::RebindToSigned<DF> di;
    hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, high)), d16, static_cast<uint16_t*>(data));
  }
}

template <DType kType>
HWY_INLINE void store_tail_from_f32(VF value, void* data, int64_t count) {
  alignas(64) std::byte buffer[sizeof(float) * kLanes];
  store_from_f32<kType>(value, buffer);
  std::memcpy(data, buffer, count * block_bytes(kType));
}

// min(count, kLanes) elements of a row; the type is known at run time only.
HWY_INLINE VF load_some(DType type, const void* data, int64_t count) {
  const bool whole = count >= kLanes;
  if (type == DType::kF32) {
    return whole ? load_as_f32<DType::kF32>(data) : load_tail_as_f32<DType::kF32>(data, count);
  }
  if (type == DType::kF16) {
    return whole ? load_as_f32<DType::kF16>(data) : load_tail_as_f32<DType::kF16>(data, count);
  }
  return whole ? load_as_f32<DType::kBF16>(data) : load_tail_as_f32<DType::kBF16>(data, count);
}

HWY_INLINE void store_some(DType type, VF value, void* data, int64_t count) {
  const bool whole = count >= kLanes;
  if (type == DType::kF32) {
    whole ? store_from_f32<DType::kF32>(value, data)
          : store_tail_from_f32<DType::kF32>(value, data, count);
  } else if (type == DType::kF16) {
    whole ? store_from_f32<DType::kF16>(value, data)
          : store_tail_from_f32<DType::kF16>(value, data, count);
  } else {
    whole ? store_from_f32<DType::kBF16>(value, data)
          : store_tail_from_f32<DType::kBF16>(value, data, count);
  }
}

// Rows of `cols` elements between f32 and a type known at run time.
HWY_INLINE void convert_row_to_f32(DType type, const void* in, int64_t cols, float* out) {
  for (int64_t i = 0; i < cols; i += kLanes) {
    const VF value = load_some(type, bytes_at(in, i * block_bytes(type)), cols - i);
    store_some(DType::kF32, value, out + i, cols - i);
  }
}
HWY_INLINE void convert_row_from_f32(const float* in, int64_t cols, DType type, void* out) {
  for (int64_t i = 0; i < cols; i += kLanes) {
    const VF value = load_some(DType::kF32, in + i, cols - i);
    store_some(type, value, bytes_at(out, i * block_bytes(type)), cols - i);
  }
}

// Keeps the compiler from reading `v` again from memory at each use: GCC 12 does so even where
// registers are free, and then the load ports, not the multipliers, set the pace.
HWY_INLINE void keep_in_register([[maybe_unused]] VF& v) {
#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
  asm("" : "+v"(v.raw));
#endif
}

HWY_INLINE float sum_of_lanes(VF v) { return hn::GetLane(hn::SumOfLanes(DF(), v)); }

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard, per instruction set
