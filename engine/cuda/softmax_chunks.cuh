// Softmax over a long row in fixed chunks: the same bits for any number of rows.
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/cuda/reduce.cuh"

namespace skipbench::cuda {

constexpr int64_t kSoftmaxChunk = 4096;  // logits that a block reduces
constexpr int kSoftmaxWarps = 8;         // of such a block

// What one chunk of a row says; sums are relative to the chunk's own maximum.
struct SoftmaxChunk {
  float top = -INFINITY;
  float second = -INFINITY;
  int32_t top_id = 0;
  double sum = 0;       // of exp(x - top)
  double weighted = 0;  // of exp(x - top) * (x - top), where entropy is asked for
};

inline int64_t softmax_chunks(int64_t cols) { return (cols + kSoftmaxChunk - 1) / kSoftmaxChunk; }

// Chunks in ascending order into one: `weighted` and `sum` become relative to the row's maximum.
__device__ __forceinline__ SoftmaxChunk merge_chunks(const SoftmaxChunk* chunks, int count) {
  SoftmaxChunk row = {-INFINITY, -INFINITY, 0, 0, 0};
  for (int c = 0; c < count; ++c) {
    const SoftmaxChunk& chunk = chunks[c];
    if (chunk.top > row.top) {
      row.second = fmaxf(row.top, chunk.second);
      row.top = chunk.top;
      row.top_id = chunk.top_id;
    } else {
      row.second = fmaxf(row.second, chunk.top);
    }
  }
  for (int c = 0; c < count; ++c) {
    const double shift = static_cast<double>(chunks[c].top) - static_cast<double>(row.top);
    if (!std::isfinite(shift)) continue;  // a chunk of -inf alone adds nothing
    const double scale = exp(shift);
    row.sum += chunks[c].sum * scale;
    row.weighted += (chunks[c].weighted + chunks[c].sum * shift) * scale;
  }
  return row;
}

}  // namespace skipbench::cuda
