// Log-probability of a given token per row, summed in f64.
#include <cassert>
#include <cmath>

#include "engine/cuda/operations.h"
#include "engine/cuda/softmax_chunks.cuh"

namespace skipbench::cuda {
namespace {

struct BlockSums {
  float tops[kSoftmaxWarps];
  double sums[kSoftmaxWarps];
};

__global__ void log_prob_chunks_kernel(const float* logits, int64_t stride, int64_t cols,
                                       SoftmaxChunk* out) {
  auto& shared = block_shared<BlockSums>();
  const float* row = logits + static_cast<int64_t>(blockIdx.y) * stride;
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kSoftmaxChunk;
  const int64_t end = min(cols, begin + kSoftmaxChunk);
  float top = -INFINITY;
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) top = fmaxf(top, row[i]);
  top = warp_max(top);
  if (lane_index() == 0) shared.tops[warp_index()] = top;
  __syncthreads();
  for (int w = 0; w < kSoftmaxWarps; ++w) top = fmaxf(top, shared.tops[w]);

  double sum[1] = {0};
  if (std::isfinite(top)) {
    for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
      sum[0] += exp(static_cast<double>(row[i]) - static_cast<double>(top));
    }
  }
  block_sum(sum, shared.sums);
  if (threadIdx.x == 0) {
    out[blockIdx.y * gridDim.x + blockIdx.x] = {top, -INFINITY, 0, sum[0], 0};
  }
}

__global__ void log_prob_merge_kernel(const SoftmaxChunk* chunks, int count, const float* logits,
                                      int64_t stride, const int32_t* target, double* out) {
  const int64_t r = blockIdx.x;
  const SoftmaxChunk row = merge_chunks(chunks + r * count, count);
  if (threadIdx.x != 0) return;
  const double logit = logits[r * stride + target[r]];
  out[r] = logit - static_cast<double>(row.top) - log(row.sum);
}

}  // namespace

void log_prob(Context& context, const LogProbArgs& args) {
  const Matrix& logits = args.logits;
  assert(logits.type == DType::kF32 && logits.cols > 0);
  if (logits.rows == 0) return;
  const int64_t chunks = softmax_chunks(logits.cols);
  auto* partial = context.scratch<SoftmaxChunk>(Slot::kSoftmax, logits.rows * chunks);
  const auto rows = static_cast<unsigned>(logits.rows);
  const auto* data = static_cast<const float*>(logits.data);
  launch(
      log_prob_chunks_kernel,
      {.grid = dim3(static_cast<unsigned>(chunks), rows), .block = dim3(kSoftmaxWarps * kWarpSize)},
      context.stream, data, logits.stride, logits.cols, partial);
  launch(log_prob_merge_kernel, {.grid = dim3(rows), .block = dim3(kWarpSize)}, context.stream,
         partial, static_cast<int>(chunks), data, logits.stride, args.target, args.out);
}

}  // namespace skipbench::cuda
