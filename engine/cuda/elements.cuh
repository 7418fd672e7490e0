// Elements of activations and caches whose type is known at run time only. Every thread of a launch
// takes the same branch.
#pragma once

#include <cstdint>

#include "engine/backend.h"
#include "engine/cuda/dtype.cuh"
#include "engine/cuda/ptx.cuh"

namespace skipbench::cuda {

// A matrix as kernels take it: rows of `stride` elements.
struct Rows {
  std::byte* data = nullptr;
  DType type = DType::kF32;
  int64_t stride = 0;
};

inline Rows rows_of(const Matrix& matrix) {
  return {static_cast<std::byte*>(matrix.data), matrix.type, matrix.stride};
}

__device__ __forceinline__ int64_t element_bytes(DType type) { return type == DType::kF32 ? 4 : 2; }

__device__ __forceinline__ std::byte* row_of(const Rows& rows, int64_t row) {
  return rows.data + row * rows.stride * element_bytes(rows.type);
}

__device__ __forceinline__ float load_element(DType type, const std::byte* data, int64_t index) {
  switch (type) {
    case DType::kF16:
      return to_float(reinterpret_cast<const F16*>(data)[index]);
    case DType::kBF16:
      return to_float(reinterpret_cast<const BF16*>(data)[index]);
    default:
      return reinterpret_cast<const float*>(data)[index];
  }
}

// Rounds to nearest, ties to even.
__device__ __forceinline__ void store_element(DType type, std::byte* data, int64_t index,
                                              float value) {
  switch (type) {
    case DType::kF16:
      reinterpret_cast<F16*>(data)[index] = from_float<F16>(value);
      break;
    case DType::kBF16:
      reinterpret_cast<BF16*>(data)[index] = from_float<BF16>(value);
      break;
    default:
      reinterpret_cast<float*>(data)[index] = value;
  }
}

__device__ __forceinline__ bool is_aligned(const void* address, uintptr_t bytes) {
  return (reinterpret_cast<uintptr_t>(address) & (bytes - 1)) == 0;
}

// Elements [index, index + 4) of a row of `count`, zeros beyond it; index is a multiple of 4. One
// access where the row's alignment allows it.
__device__ __forceinline__ float4 load_four(DType type, const std::byte* row, int64_t index,
                                            int64_t count) {
  if (index + 4 <= count && is_aligned(row, static_cast<uintptr_t>(4 * element_bytes(type)))) {
    if (type == DType::kF32) return *reinterpret_cast<const float4*>(row + index * 4);
    const uint2 raw = *reinterpret_cast<const uint2*>(row + index * 2);
    const float2 a = type == DType::kF16 ? to_float2(F16{}, raw.x) : to_float2(BF16{}, raw.x);
    const float2 b = type == DType::kF16 ? to_float2(F16{}, raw.y) : to_float2(BF16{}, raw.y);
    return {a.x, a.y, b.x, b.y};
  }
  float4 out = {0, 0, 0, 0};
  if (index < count) out.x = load_element(type, row, index);
  if (index + 1 < count) out.y = load_element(type, row, index + 1);
  if (index + 2 < count) out.z = load_element(type, row, index + 2);
  if (index + 3 < count) out.w = load_element(type, row, index + 3);
  return out;
}

}  // namespace skipbench::cuda
