// Argmax, runner-up, their probabilities and the entropy of rows of logits. A block reduces one
// chunk of a row, a second kernel the chunks of a row.
#include <cassert>
#include <cmath>

#include "engine/cuda/operations.h"
#include "engine/cuda/ptx.cuh"
#include "engine/cuda/softmax_chunks.cuh"

namespace skipbench::cuda {
namespace {

struct Top {
  float top = -INFINITY;
  float second = -INFINITY;
  int32_t id = 0x7fffffff;
};

// Ties go to the lower id.
__device__ __forceinline__ Top better_of(const Top& a, const Top& b) {
  const bool first = a.top > b.top || (a.top == b.top && a.id < b.id);
  Top out = first ? a : b;
  out.second = fmaxf(out.second, first ? b.top : a.top);
  return out;
}

__device__ __forceinline__ Top warp_top(Top value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    Top other;
    other.top = __shfl_xor_sync(kFullWarp, value.top, offset);
    other.second = __shfl_xor_sync(kFullWarp, value.second, offset);
    other.id = __shfl_xor_sync(kFullWarp, value.id, offset);
    value = better_of(value, other);
  }
  return value;
}

struct BlockTops {
  Top warps[kSoftmaxWarps];
  float sums[2 * kSoftmaxWarps];
};

__global__ void next_token_chunks_kernel(const float* logits, int64_t stride, int64_t cols,
                                         bool with_entropy, SoftmaxChunk* out) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  auto& shared = block_shared<BlockTops>();
  const float* row = logits + static_cast<int64_t>(blockIdx.y) * stride;
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kSoftmaxChunk;
  const int64_t end = min(cols, begin + kSoftmaxChunk);
  Top mine;
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    mine = better_of(mine, {logit_at(row, i), -INFINITY, static_cast<int32_t>(i)});
  }
  mine = warp_top(mine);
  if (lane_index() == 0) shared.warps[warp_index()] = mine;
  __syncthreads();
  Top top = shared.warps[0];
  for (int w = 1; w < kSoftmaxWarps; ++w) top = better_of(top, shared.warps[w]);

  float sums[2] = {0, 0};  // of e and of e * shifted
  if (std::isfinite(top.top)) {
    for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
      const float shifted = logit_at(row, i) - top.top;
      const float e = expf(shifted);
      sums[0] += e;
      // exp(-inf) * -inf would be NaN; below -100 the product is nothing beside the top's own 1.
      if (with_entropy) sums[1] = fmaf(e, fmaxf(shifted, -100.0f), sums[1]);
    }
  }
  block_sum(sums, shared.sums);
  if (threadIdx.x == 0) {
    out[blockIdx.y * gridDim.x + blockIdx.x] = {top.top, top.second, top.id, sums[0], sums[1]};
  }
}

__global__ void next_token_merge_kernel(const SoftmaxChunk* chunks, int count, bool with_entropy,
                                        NextToken* out) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  const SoftmaxChunk row = merge_chunks(chunks + static_cast<int64_t>(blockIdx.x) * count, count);
  if (threadIdx.x != 0) return;
  NextToken next = {row.top_id, row.top, row.second, 0, 0, 0};
  if (row.sum > 0) {
    next.top_probability = static_cast<float>(1.0 / row.sum);
    next.second_probability = static_cast<float>(
        exp(static_cast<double>(row.second) - static_cast<double>(row.top)) / row.sum);
    // H = log sum exp(x) - sum p x, both relative to the top.
    if (with_entropy) next.entropy = static_cast<float>(log(row.sum) - row.weighted / row.sum);
  } else if (row.top > 0) {  // an infinite logit takes all
    next.top_probability = 1;
  }
  out[blockIdx.x] = next;
}

}  // namespace

// A NaN logit counts as -inf. Where no logit is finite the token is still defined: the first +inf,
// else id 0 with probability 0.
void next_token(Context& context, const NextTokenArgs& args) {
  const Matrix& logits = args.logits;
  assert(logits.type == DType::kF32 && logits.cols > 0);
  if (logits.rows == 0) return;
  const int64_t chunks = softmax_chunks(logits.cols);
  auto* partial = context.scratch<SoftmaxChunk>(Slot::kSoftmax, logits.rows * chunks);
  const auto rows = static_cast<unsigned>(logits.rows);
  launch(next_token_chunks_kernel,
         {.grid = dim3(static_cast<unsigned>(chunks), rows),
          .block = dim3(kSoftmaxWarps * kWarpSize),
          .overlap_previous = true},
         context.stream, static_cast<const float*>(logits.data), logits.stride, logits.cols,
         args.with_entropy, partial);
  launch(next_token_merge_kernel,
         {.grid = dim3(rows), .block = dim3(kWarpSize), .overlap_previous = true}, context.stream,
         partial, static_cast<int>(chunks), args.with_entropy, args.out);
}

}  // namespace skipbench::cuda
