// Softmax over a long row in fixed chunks: the same bits at any number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace skipbench::cpu {

constexpr int64_t kSoftmaxChunk = 4096;  // logits that one thread reduces at a time

// What one chunk of a row says; sums are relative to the chunk's own maximum.
struct SoftmaxChunk {
  float top = -std::numeric_limits<float>::infinity();
  float second = -std::numeric_limits<float>::infinity();
  int32_t top_id = 0;
  double sum = 0;       // of exp(x - top)
  double weighted = 0;  // of exp(x - top) * (x - top), where entropy is asked for
};

inline int64_t softmax_chunks(int64_t cols) { return (cols + kSoftmaxChunk - 1) / kSoftmaxChunk; }

// Chunks in ascending order into one: `weighted` and `sum` become relative to the row's maximum.
inline SoftmaxChunk merge_chunks(const SoftmaxChunk* chunks, int64_t count) {
  SoftmaxChunk row;
  for (int64_t c = 0; c < count; ++c) {
    const SoftmaxChunk& chunk = chunks[c];
    if (chunk.top > row.top) {
      row.second = std::max(row.top, chunk.second);
      row.top = chunk.top;
      row.top_id = chunk.top_id;
    } else {
      row.second = std::max(row.second, chunk.top);
    }
  }
  for (int64_t c = 0; c < count; ++c) {
    const double shift = static_cast<double>(chunks[c].top) - static_cast<double>(row.top);
    if (!std::isfinite(shift)) continue;  // a chunk of -inf alone adds nothing
    const double scale = std::exp(shift);
    row.sum += chunks[c].sum * scale;
    row.weighted += (chunks[c].weighted + chunks[c].sum * shift) * scale;
  }
  return row;
}

}  // namespace skipbench::cpu
