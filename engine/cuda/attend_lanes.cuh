// How the lanes of a warp share a head in attend_decode.
#pragma once

#include "engine/cuda/elements.cuh"
#include "engine/cuda/reduce.cuh"

namespace skipbench::cuda {

constexpr int kDims = 8;  // dimensions of a head that a lane holds: heads up to 256
constexpr int kMaxDim = kDims * kWarpSize;

// Which dimensions a lane holds. Vectors: eight neighbours, so that a key takes dim / 8 lanes and a
// warp reads several keys at a time. Otherwise every 32nd dimension, one key at a time.
template <bool kVectors>
__device__ __forceinline__ int dimension(int lane_in_key, int i) {
  return kVectors ? lane_in_key * kDims + i : i * kWarpSize + lane_in_key;
}

// A lane's part of a key or value as it stands in memory: many are under way at a time, and packed
// they take half of the registers. Zeros until it is loaded.
template <typename T, bool kVectors>
struct LaneDims {
  static constexpr int kLoads = kDims / kPer16Bytes<T>;
  uint4 raw[kLoads] = {};

  __device__ __forceinline__ void load(const T* row, int lane_in_key, int dim) {
    if (lane_in_key * kDims >= dim) return;
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      raw[i] = ptx::load16(row + lane_in_key * kDims + i * kPer16Bytes<T>);
    }
  }
  __device__ __forceinline__ void get(float (&out)[kDims]) const {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      float part[kPer16Bytes<T>];
      unpack<T>(raw[i], part);
#pragma unroll
      for (int j = 0; j < kPer16Bytes<T>; ++j) out[i * kPer16Bytes<T> + j] = part[j];
    }
  }
};

template <typename T>
struct LaneDims<T, false> {
  float values[kDims] = {};

  __device__ __forceinline__ void load(const T* row, int lane_in_key, int dim) {
#pragma unroll
    for (int i = 0; i < kDims; ++i) {
      const int d = dimension<false>(lane_in_key, i);
      if (d < dim) values[i] = to_float(row[d]);
    }
  }
  __device__ __forceinline__ void get(float (&out)[kDims]) const {
#pragma unroll
    for (int i = 0; i < kDims; ++i) out[i] = values[i];
  }
};

// This lane's dimensions of a head that begins at `column` of a row of the projection.
template <bool kVectors>
__device__ __forceinline__ void load_query(DType type, const std::byte* row, int64_t column,
                                           int lane_in_key, int dim, float (&out)[kDims]) {
  if constexpr (kVectors) {
    if (lane_in_key * kDims >= dim) return;
#pragma unroll
    for (int i = 0; i < kDims; i += 4) {
      const float4 four = load_four(type, row, column + lane_in_key * kDims + i, column + dim);
      out[i] = four.x;
      out[i + 1] = four.y;
      out[i + 2] = four.z;
      out[i + 3] = four.w;
    }
  } else {
#pragma unroll
    for (int i = 0; i < kDims; ++i) {
      const int d = dimension<false>(lane_in_key, i);
      if (d < dim) out[i] = load_element(type, row, column + d);
    }
  }
}

}  // namespace skipbench::cuda
