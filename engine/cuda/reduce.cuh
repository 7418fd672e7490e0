// Sums and maxima over the lanes of a warp and the warps of a block. Each has one order of
// additions, so that results do not depend on how many values are reduced together.
#pragma once

#include <cstdint>

#include "engine/cuda/launch.h"

namespace skipbench::cuda {

constexpr int kMaxWarps = 32;

__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarpSize; }
__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / kWarpSize; }
__device__ __forceinline__ int warps_in_block() { return static_cast<int>(blockDim.x) / kWarpSize; }

// Every lane receives the result.
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kFullWarp, value, offset);
  }
  return value;
}

__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kFullWarp, value, offset));
  }
  return value;
}

// Sums kCount values over the warp with about as many shuffles as there are values: at each step a
// lane keeps half of them. Lane l receives the sum of value number l / (32 / kCount); its order of
// additions is that of warp_sum. kCount: a power of two, at most 32.
template <int kCount, int kOffset = kWarpSize / 2>
__device__ __forceinline__ float warp_sum_spread(float (&values)[kCount], int lane) {
  if constexpr (kCount == 1) {
    float value = values[0];
#pragma unroll
    for (int offset = kOffset; offset > 0; offset /= 2) {
      value += __shfl_xor_sync(kFullWarp, value, offset);
    }
    return value;
  } else {
    const bool upper = (lane & kOffset) != 0;
    float half[kCount / 2];
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i) {
      const float kept = upper ? values[i + kCount / 2] : values[i];
      const float sent = upper ? values[i] : values[i + kCount / 2];
      half[i] = kept + __shfl_xor_sync(kFullWarp, sent, kOffset);
    }
    return warp_sum_spread<kCount / 2, kOffset / 2>(half, lane);
  }
}

// Sums kCount values over the block; every thread receives all sums. `partial` holds kCount values
// per warp and may be used again after the next barrier. All threads of the block take part.
template <typename T, int kCount>
__device__ __forceinline__ void block_sum(T (&values)[kCount], T* partial) {
  const int warps = warps_in_block();
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    values[i] = warp_sum(values[i]);
    if (lane_index() == 0) partial[i * warps + warp_index()] = values[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    T sum = 0;
    for (int w = 0; w < warps; ++w) sum += partial[i * warps + w];
    values[i] = sum;
  }
}

}  // namespace skipbench::cuda
