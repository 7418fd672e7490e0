// Weights of every type in registers: a load of 16 bytes and its decoding four weights at a time. A
// quantised weight has the value that engine/base/dtype.h gives it, rounded once to f32.
#pragma once

#include <cstdint>

#include "engine/cuda/device_weights.h"
#include "engine/cuda/dtype.cuh"

namespace skipbench::cuda {

// f32 of an integer 0 .. 2^23 - 1 by placing it in the mantissa of 2^23: the conversion instruction
// has a quarter of the rate and would be the bottleneck of 4-bit weights.
__device__ __forceinline__ float small_integer(uint32_t value) {
  return float_of_bits(0x4b000000u | value) - 8388608.0f;
}

// d and m of the block that a load lies in; (1, 0) for plain types, where nothing is read.
struct BlockScale {
  float d = 1;
  float m = 0;
};

template <DType kType>
struct WeightPieces {
  static constexpr int kPerLoad = kType == DType::kF32                            ? 4
                                  : kType == DType::kF16 || kType == DType::kBF16 ? 8
                                  : kType == DType::kQ8_0                         ? 16
                                                                                  : 32;

  // Scale of the weights [column, column + kPerLoad) of a row; `scales` are the row's.
  __device__ static __forceinline__ BlockScale scale(const uint16_t* scales, int64_t column) {
    if constexpr (kType == DType::kQ4_1) {
      const uint32_t pair = reinterpret_cast<const uint32_t*>(scales)[column / kQuantBlock];
      const float2 dm = to_float2(F16{}, pair);
      return {dm.x, dm.y};
    } else if constexpr (is_quantised(kType)) {
      return {to_float(F16{scales[column / kQuantBlock]}), 0};
    } else {
      return {};
    }
  }

  // Weights [4 * kPiece, 4 * kPiece + 4) of a load.
  template <int kPiece>
  __device__ static __forceinline__ void decode(const uint4& raw, BlockScale scale,
                                                float (&out)[4]) {
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
    if constexpr (kType == DType::kF32) {
#pragma unroll
      for (int j = 0; j < 4; ++j) out[j] = float_of_bits(words[j]);
    } else if constexpr (kType == DType::kF16 || kType == DType::kBF16) {
      const auto pair = [](uint32_t word) {
        if constexpr (kType == DType::kF16)
          return to_float2(F16{}, word);
        else
          return to_float2(BF16{}, word);
      };
      const float2 a = pair(words[2 * kPiece]);
      const float2 b = pair(words[2 * kPiece + 1]);
      out[0] = a.x;
      out[1] = a.y;
      out[2] = b.x;
      out[3] = b.y;
    } else if constexpr (kType == DType::kQ8_0) {
      const uint32_t word = words[kPiece] ^ 0x80808080u;  // q + 128, no longer signed
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        out[j] = (small_integer(word >> (8 * j) & 255u) - 128.0f) * scale.d;
      }
    } else {
      // The low nibbles hold the first half of the block, the high ones the second.
      const uint32_t word = words[kPiece % 4] >> (kPiece / 4 * 4);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float q = small_integer(word >> (8 * j) & 15u);
        if constexpr (kType == DType::kQ4_0)
          out[j] = (q - 8.0f) * scale.d;
        else
          out[j] = fmaf(q, scale.d, scale.m);
      }
    }
  }
};

// Weight [row, column] alone, for reading single rows.
template <DType kType>
__device__ __forceinline__ float weight_at(const DeviceMatrix& matrix, int64_t row,
                                           int64_t column) {
  const std::byte* data = matrix.data + row * matrix.pitch_bytes;
  if constexpr (kType == DType::kF32)
    return reinterpret_cast<const float*>(data)[column];
  else if constexpr (kType == DType::kF16)
    return to_float(reinterpret_cast<const F16*>(data)[column]);
  else if constexpr (kType == DType::kBF16) {
    return to_float(reinterpret_cast<const BF16*>(data)[column]);
  } else {
    const uint16_t* scales =
        matrix.scales + row * (matrix.cols / kQuantBlock) * scales_per_block(kType);
    const BlockScale scale = WeightPieces<kType>::scale(scales, column);
    const int64_t block = column / kQuantBlock;
    const int64_t i = column % kQuantBlock;
    if constexpr (kType == DType::kQ8_0) {
      return static_cast<float>(reinterpret_cast<const int8_t*>(data)[column]) * scale.d;
    } else {
      const auto pair = static_cast<uint32_t>(data[block * 16 + i % 16]);
      const auto q = static_cast<float>(i < 16 ? pair & 15u : pair >> 4);
      if constexpr (kType == DType::kQ4_0)
        return (q - 8.0f) * scale.d;
      else
        return fmaf(q, scale.d, scale.m);
    }
  }
}

// Calls fn(std::integral_constant<DType, type>) with a type known at run time.
template <typename Fn>
void with_weight_type(DType type, Fn&& fn) {
  switch (type) {
    case DType::kF32:
      return fn(std::integral_constant<DType, DType::kF32>());
    case DType::kF16:
      return fn(std::integral_constant<DType, DType::kF16>());
    case DType::kBF16:
      return fn(std::integral_constant<DType, DType::kBF16>());
    case DType::kQ8_0:
      return fn(std::integral_constant<DType, DType::kQ8_0>());
    case DType::kQ4_0:
      return fn(std::integral_constant<DType, DType::kQ4_0>());
    case DType::kQ4_1:
      return fn(std::integral_constant<DType, DType::kQ4_1>());
  }
}

}  // namespace skipbench::cuda
