// Half types as plain 16-bit structs, their conversions, and 16-byte vectors of them. The same bits
// on the host, under nvcc and on the emulated device.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "engine/base/dtype.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace skipbench::cuda {

struct F16 {
  uint16_t bits;
};
struct BF16 {
  uint16_t bits;
};

template <typename T>
constexpr DType kDTypeOf = DType::kF32;
template <>
inline constexpr DType kDTypeOf<F16> = DType::kF16;
template <>
inline constexpr DType kDTypeOf<BF16> = DType::kBF16;

__device__ __forceinline__ float to_float(float value) { return value; }

#ifdef __CUDACC__

__device__ __forceinline__ float to_float(F16 value) {
  return __half2float(__ushort_as_half(value.bits));
}
__device__ __forceinline__ uint16_t f16_bits(float value) {
  return __half_as_ushort(__float2half_rn(value));
}
__device__ __forceinline__ uint16_t bf16_bits(float value) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}
// Two floats, rounded to nearest even, in one word.
__device__ __forceinline__ uint32_t pack_two(F16, float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
__device__ __forceinline__ uint32_t pack_two(BF16, float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
__device__ __forceinline__ float float_of_bits(uint32_t bits) { return __uint_as_float(bits); }
// Both halves of a word, low half first.
__device__ __forceinline__ float2 to_float2(F16, uint32_t word) {
  const __half2 pair = *reinterpret_cast<const __half2*>(&word);
  return __half22float2(pair);
}

#else

inline float to_float(F16 value) { return f16_to_f32(value.bits); }
inline uint16_t f16_bits(float value) { return f32_to_f16(value); }
inline uint16_t bf16_bits(float value) { return f32_to_bf16(value); }
inline uint32_t pack_two(F16, float low, float high) {
  return f32_to_f16(low) | static_cast<uint32_t>(f32_to_f16(high)) << 16;
}
inline uint32_t pack_two(BF16, float low, float high) {
  return f32_to_bf16(low) | static_cast<uint32_t>(f32_to_bf16(high)) << 16;
}
inline float float_of_bits(uint32_t bits) { return std::bit_cast<float>(bits); }
inline float2 to_float2(F16, uint32_t word) {
  return {f16_to_f32(static_cast<uint16_t>(word)), f16_to_f32(static_cast<uint16_t>(word >> 16))};
}

#endif

__device__ __forceinline__ float to_float(BF16 value) {
  return float_of_bits(static_cast<uint32_t>(value.bits) << 16);
}
__device__ __forceinline__ float2 to_float2(BF16, uint32_t word) {
  return {float_of_bits(word << 16), float_of_bits(word & 0xffff0000u)};
}

// Rounds to nearest, ties to even.
__device__ __forceinline__ void from_float(float value, float& out) { out = value; }
__device__ __forceinline__ void from_float(float value, F16& out) { out.bits = f16_bits(value); }
__device__ __forceinline__ void from_float(float value, BF16& out) { out.bits = bf16_bits(value); }

template <typename T>
__device__ __forceinline__ T from_float(float value) {
  T out;
  from_float(value, out);
  return out;
}

// Two floats as one word of a half type, low half first: pack_two<BF16>(a, b).
template <typename T>
__device__ __forceinline__ uint32_t pack_two(float low, float high) {
  return pack_two(T{}, low, high);
}

// Elements of T in 16 bytes: 4 of f32, 8 of the half types.
template <typename T>
constexpr int kPer16Bytes = static_cast<int>(16 / sizeof(T));

__device__ __forceinline__ void unpack(const uint4& raw, float (&out)[4], float) {
  out[0] = float_of_bits(raw.x);
  out[1] = float_of_bits(raw.y);
  out[2] = float_of_bits(raw.z);
  out[3] = float_of_bits(raw.w);
}

template <typename T>
__device__ __forceinline__ void unpack(const uint4& raw, float (&out)[8], T tag) {
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = to_float2(tag, words[i]);
    out[2 * i] = pair.x;
    out[2 * i + 1] = pair.y;
  }
}

// Sixteen bytes as floats: unpack<BF16>(raw, values) with float values[kPer16Bytes<BF16>].
template <typename T>
__device__ __forceinline__ void unpack(const uint4& raw, float (&out)[kPer16Bytes<T>]) {
  unpack(raw, out, T{});
}

// Eight floats as 16 bytes of a half type, rounded.
template <typename T>
__device__ __forceinline__ uint4 pack(const float (&values)[8]) {
  return {pack_two<T>(values[0], values[1]), pack_two<T>(values[2], values[3]),
          pack_two<T>(values[4], values[5]), pack_two<T>(values[6], values[7])};
}

}  // namespace skipbench::cuda
