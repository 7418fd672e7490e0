// Softmax over a long row in fixed chunks: the same bits for any number of rows.
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/cuda/reduce.cuh"

namespace skipbench::cuda {

constexpr int64_t kSoftmaxChunk = 4096;  // logits that a block reduces
constexpr int kSoftmaxWarps = 8;         // of such a block

// A NaN counts as -inf: it is never chosen.
__device__ __forceinline__ float logit_at(const float* logits, int64_t i) {
  const float value = logits[i];
  return std::isnan(value) ? -INFINITY : value;
}

// What one chunk of a row says; sums are relative to the chunk's own maximum.
struct SoftmaxChunk {
  float top = -INFINITY;
  float second = -INFINITY;
  int32_t top_id = 0;
  double sum = 0;       // of exp(x - top)
  double weighted = 0;  // of exp(x - top) * (x - top), where entropy is asked for
};

inline int64_t softmax_chunks(int64_t cols) { return (cols + kSoftmaxChunk - 1) / kSoftmaxChunk; }

// The chunks of a row into one, by a whole warp; every lane receives the result. `weighted` and
// `sum` become relative to the row's maximum. The order of additions depends on `count` alone.
__device__ __forceinline__ SoftmaxChunk merge_chunks(const SoftmaxChunk* chunks, int count) {
  SoftmaxChunk row = {-INFINITY, -INFINITY, 0x7fffffff, 0, 0};
  const auto add = [&row](float top, float second, int32_t id) {
    const bool wins = top > row.top || (top == row.top && id < row.top_id);  // ties: the lower id
    row.second = fmaxf(wins ? row.top : top, wins ? second : row.second);
    if (!wins) return;
    row.top = top;
    row.top_id = id;
  };
  for (int c = lane_index(); c < count; c += kWarpSize) {
    add(chunks[c].top, chunks[c].second, chunks[c].top_id);
  }
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    const float top = __shfl_xor_sync(kFullWarp, row.top, offset);
    const float second = __shfl_xor_sync(kFullWarp, row.second, offset);
    const int32_t id = __shfl_xor_sync(kFullWarp, row.top_id, offset);
    add(top, second, id);
  }
  for (int c = lane_index(); c < count; c += kWarpSize) {
    const double shift = static_cast<double>(chunks[c].top) - static_cast<double>(row.top);
    if (!std::isfinite(shift)) continue;  // a chunk of -inf alone adds nothing
    const double scale = exp(shift);
    row.sum += chunks[c].sum * scale;
    row.weighted += (chunks[c].weighted + chunks[c].sum * shift) * scale;
  }
  row.sum = warp_sum(row.sum);
  row.weighted = warp_sum(row.weighted);
  return row;
}

}  // namespace skipbench::cuda
