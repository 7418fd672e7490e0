// Mean and 1 / deviation of rows, shared by `norm` and `linear`.
#pragma once

#include <cmath>

#include "engine/cuda/elements.cuh"
#include "engine/cuda/reduce.cuh"

namespace skipbench::cuda {

// A norm as kernels take it.
struct Norm {
  bool on = false;
  NormKind kind = NormKind::kRmsNorm;
  double epsilon = 0;
  const float* gain = nullptr;  // [cols], padded to a multiple of four
  const float* bias = nullptr;  // [cols] or null
};

__device__ __forceinline__ float norm_factor(float squares, int64_t cols, double epsilon) {
  const double variance = static_cast<double>(squares) / static_cast<double>(cols);
  return static_cast<float>(1.0 / sqrt(variance + epsilon));
}

// Statistics of kRows rows by all threads of the block: row r of the norm is
// (x - shift[r]) * factor[r] * gain (+ bias). `rows` of them exist, the others are left alone.
// `partial` holds kRows values per warp. The caller puts a barrier before using `partial` again.
template <int kRows>
__device__ __forceinline__ void row_statistics(const Norm& norm, const Rows& in, int64_t first_row,
                                               int rows, int64_t cols, float* partial,
                                               float (&shift)[kRows], float (&factor)[kRows]) {
  const int64_t step = 4 * static_cast<int64_t>(blockDim.x);
  float sums[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) shift[r] = 0;
  if (norm.kind == NormKind::kLayerNorm) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      sums[r] = 0;
      if (r >= rows) continue;
      const std::byte* row = row_of(in, first_row + r);
      for (int64_t i = 4 * static_cast<int64_t>(threadIdx.x); i < cols; i += step) {
        const float4 x = load_four(in.type, row, i, cols);
        sums[r] += (x.x + x.y) + (x.z + x.w);
      }
    }
    block_sum(sums, partial);
    __syncthreads();
#pragma unroll
    for (int r = 0; r < kRows; ++r) shift[r] = sums[r] / static_cast<float>(cols);
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    sums[r] = 0;
    if (r >= rows) continue;
    const std::byte* row = row_of(in, first_row + r);
    for (int64_t i = 4 * static_cast<int64_t>(threadIdx.x); i < cols; i += step) {
      const float4 x = load_four(in.type, row, i, cols);
      const float a = x.x - shift[r];
      const float b = i + 1 < cols ? x.y - shift[r] : 0.0f;
      const float c = i + 2 < cols ? x.z - shift[r] : 0.0f;
      const float d = i + 3 < cols ? x.w - shift[r] : 0.0f;
      sums[r] += (a * a + b * b) + (c * c + d * d);
    }
  }
  block_sum(sums, partial);
#pragma unroll
  for (int r = 0; r < kRows; ++r) factor[r] = norm_factor(sums[r], cols, norm.epsilon);
}

// Elements [i, i + 4) of a normalised row, x those of the row; beyond `cols` zero.
__device__ __forceinline__ float4 normalise_four(const Norm& norm, float4 x, float shift,
                                                 float factor, int64_t i, int64_t cols) {
  if (i >= cols) return {0, 0, 0, 0};
  const float4 gain = *reinterpret_cast<const float4*>(norm.gain + i);
  float4 bias = {0, 0, 0, 0};
  if (norm.bias != nullptr) bias = *reinterpret_cast<const float4*>(norm.bias + i);
  float4 out;
  out.x = (x.x - shift) * factor * gain.x + bias.x;
  out.y = i + 1 < cols ? (x.y - shift) * factor * gain.y + bias.y : 0.0f;
  out.z = i + 2 < cols ? (x.z - shift) * factor * gain.z + bias.z : 0.0f;
  out.w = i + 3 < cols ? (x.w - shift) * factor * gain.w + bias.w : 0.0f;
  return out;
}

}  // namespace skipbench::cuda
