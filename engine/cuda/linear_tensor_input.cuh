// The input of linear_tensor: normalised, rounded to the weights' type and in shared memory.
#pragma once

#include "engine/cuda/linear_args.cuh"

namespace skipbench::cuda {

constexpr int kStep = 32;   // columns of a step: two products deep
constexpr int kVector = 8;  // elements of a load
constexpr int kMaxTensorRows = 32;

// Eight elements of a row from `column` on, zeros beyond k.
template <typename T>
__device__ __forceinline__ void load_eight(const std::byte* row, int column, int k, bool aligned,
                                           float (&out)[kVector]) {
  const T* elements = reinterpret_cast<const T*>(row);
  if (aligned && column + kVector <= k) {
    unpack<T>(ptx::load16(elements + column), out);
    return;
  }
#pragma unroll
  for (int i = 0; i < kVector; ++i) {
    out[i] = column + i < k ? to_float(elements[column + i]) : 0.0f;
  }
}

struct RowStatistics {
  float shift[kMaxTensorRows];
  float factor[kMaxTensorRows];
};

// Shift and factor of the norm of one row, by one warp; every lane receives them. What a row's are
// does not depend on the others.
template <typename T>
__device__ __forceinline__ float2 warp_statistics(const FewRowsArgs& args, const std::byte* row,
                                                  bool aligned) {
  float shift = 0;
  if (args.norm.kind == NormKind::kLayerNorm) {
    float sum = 0;
#pragma unroll 2
    for (int c = lane_index() * kVector; c < args.k; c += kWarpSize * kVector) {
      float x[kVector];
      load_eight<T>(row, c, args.k, aligned, x);
      sum += ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
    }
    shift = warp_sum(sum) / static_cast<float>(args.k);
  }
  float squares = 0;
#pragma unroll 2
  for (int c = lane_index() * kVector; c < args.k; c += kWarpSize * kVector) {
    float x[kVector];
    load_eight<T>(row, c, args.k, aligned, x);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const float centred = c + i < args.k ? x[i] - shift : 0.0f;
      squares = fmaf(centred, centred, squares);
    }
  }
  return {shift, norm_factor(warp_sum(squares), args.k, args.norm.epsilon)};
}

template <typename T>
__device__ __forceinline__ void tensor_statistics(const FewRowsArgs& args, bool aligned,
                                                  RowStatistics& out) {
  for (int r = warp_index(); r < args.rows; r += warps_in_block()) {
    const float2 row = warp_statistics<T>(args, row_of(args.in, r), aligned);
    if (lane_index() != 0) continue;
    out.shift[r] = row.x;
    out.factor[r] = row.y;
  }
}

// Elements [column, column + 8) of a row, normalised where there is a norm, rounded.
template <typename T>
__device__ __forceinline__ uint4 input_vector(const FewRowsArgs& args, const std::byte* row,
                                              int column, bool aligned, float shift, float factor) {
  float x[kVector];
  load_eight<T>(row, column, args.k, aligned, x);
  if (args.norm.on) {
#pragma unroll
    for (int i = 0; i < kVector; i += 4) {
      const float4 four = normalise_four(args.norm, {x[i], x[i + 1], x[i + 2], x[i + 3]}, shift,
                                         factor, column + i, args.k);
      x[i] = four.x;
      x[i + 1] = four.y;
      x[i + 2] = four.z;
      x[i + 3] = four.w;
    }
  }
  return pack<T>(x);
}

// The whole input in the order in which lanes read it: [step of 32 columns, row, 4] vectors.
template <typename T>
__device__ __forceinline__ void stage_rows(const FewRowsArgs& args, bool aligned,
                                           const RowStatistics& statistics, uint4* staged) {
  const int rows = static_cast<int>(args.rows);
  const int vectors = (args.k + kStep - 1) / kStep * rows * 4;
#pragma unroll 1
  for (int v = static_cast<int>(threadIdx.x); v < vectors; v += static_cast<int>(blockDim.x)) {
    const int r = v / 4 % rows;
    const int column = v / 4 / rows * kStep + v % 4 * kVector;
    staged[v] = input_vector<T>(args, row_of(args.in, r), column, aligned,
                                args.norm.on ? statistics.shift[r] : 0.0f,
                                args.norm.on ? statistics.factor[r] : 1.0f);
  }
}

}  // namespace skipbench::cuda
