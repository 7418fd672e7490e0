// Rows' next tokens drawn with Gumbel noise, of all logits or of the k largest: the k-th is found by
// its bits, eight at a time, then each block takes the best of one chunk of a row.
#include <cassert>
#include <cmath>

#include "engine/cuda/launch.h"
#include "engine/cuda/operations.h"
#include "engine/cuda/ptx.cuh"
#include "engine/cuda/softmax_chunks.cuh"

namespace skipbench::cuda {
namespace {

constexpr unsigned kSelectThreads = 1024;
constexpr int kDigits = 256;  // values of eight bits

// Larger floats have larger keys; -0 and 0 the same.
__device__ __forceinline__ uint32_t key_of(float value) {
  const uint32_t bits = __float_as_uint(value + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float value_of(uint32_t key) {
  return __uint_as_float((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}

struct Histogram {
  int32_t counts[kDigits];
  uint32_t key;   // the bits found so far
  int32_t still;  // the wanted one's place from above among the keys that begin so
};

// The k-th largest logit of a row, by a block.
__global__ void least_drawn_kernel(const float* logits, int64_t stride, int64_t cols, int top_k,
                                   float* least) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  auto& shared = block_shared<Histogram>();
  const float* row = logits + static_cast<int64_t>(blockIdx.x) * stride;
  if (threadIdx.x == 0) {
    shared.key = 0;
    shared.still = top_k;
  }
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int digit = threadIdx.x; digit < kDigits; digit += blockDim.x) shared.counts[digit] = 0;
    __syncthreads();
    const uint32_t found = shared.key;
    const uint32_t mask = shift == 24 ? 0 : ~0u << (shift + 8);
    for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
      const uint32_t key = key_of(logit_at(row, i));
      if ((key & mask) == found) atomicAdd(&shared.counts[(key >> shift) & (kDigits - 1)], 1);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int digit = kDigits - 1;
      while (shared.counts[digit] < shared.still) shared.still -= shared.counts[digit--];
      shared.key |= static_cast<uint32_t>(digit) << shift;
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) least[blockIdx.x] = value_of(shared.key);
}

struct Best {
  float value = -INFINITY;
  int32_t id = 0x7fffffff;  // none above -inf
};

// Ties go to the lower id.
__device__ __forceinline__ Best better_of(const Best& a, const Best& b) {
  return a.value > b.value || (a.value == b.value && a.id < b.id) ? a : b;
}

__device__ __forceinline__ Best warp_best(Best value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    Best other;
    other.value = __shfl_xor_sync(kFullWarp, value.value, offset);
    other.id = __shfl_xor_sync(kFullWarp, value.id, offset);
    value = better_of(value, other);
  }
  return value;
}

struct BlockBests {
  Best warps[kSoftmaxWarps];
};

__global__ void sample_chunks_kernel(SampleArgs args, const float* least,
                                     float inverse_temperature, Best* out) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  auto& shared = block_shared<BlockBests>();
  const int64_t r = blockIdx.y;
  const float* row = static_cast<const float*>(args.logits.data) + r * args.logits.stride;
  const uint64_t stream = noise_stream(args.sampling.seed, args.text[r], args.position[r]);
  const float floor = least == nullptr ? -INFINITY : least[r];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kSoftmaxChunk;
  const int64_t end = min(args.logits.cols, begin + kSoftmaxChunk);
  Best mine;
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    const float logit = logit_at(row, i);
    if (logit < floor) continue;
    const float noise = -logf(-log1pf(-noise_uniform(stream, i)));
    const float value = logit * inverse_temperature + noise;
    if (value > mine.value) mine = {value, static_cast<int32_t>(i)};
  }
  mine = warp_best(mine);
  if (lane_index() == 0) shared.warps[warp_index()] = mine;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < kSoftmaxWarps; ++w) mine = better_of(mine, shared.warps[w]);
  out[r * gridDim.x + blockIdx.x] = mine;
}

__global__ void sample_merge_kernel(const Best* chunks, int count, NextToken* out) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  const Best* row = chunks + static_cast<int64_t>(blockIdx.x) * count;
  Best best;
  for (int c = threadIdx.x; c < count; c += kWarpSize) best = better_of(best, row[c]);
  best = warp_best(best);
  if (threadIdx.x == 0 && best.value > -INFINITY) out[blockIdx.x].token = best.id;
}

}  // namespace

void sample(Context& context, const SampleArgs& args) {
  const Matrix& logits = args.logits;
  assert(logits.type == DType::kF32 && logits.cols > 0 && args.sampling.temperature > 0);
  if (logits.rows == 0) return;
  const int64_t chunks = softmax_chunks(logits.cols);
  const auto rows = static_cast<unsigned>(logits.rows);
  auto* best = context.scratch<Best>(Slot::kSoftmax, logits.rows * chunks);
  float* least = nullptr;
  if (args.sampling.top_k > 0 && args.sampling.top_k < logits.cols) {
    least = context.scratch<float>(Slot::kLeastDrawn, logits.rows);
    launch(least_drawn_kernel,
           {.grid = dim3(rows), .block = dim3(kSelectThreads), .overlap_previous = true},
           context.stream, static_cast<const float*>(logits.data), logits.stride, logits.cols,
           args.sampling.top_k, least);
  }
  launch(sample_chunks_kernel,
         {.grid = dim3(static_cast<unsigned>(chunks), rows),
          .block = dim3(kSoftmaxWarps * kWarpSize),
          .overlap_previous = true},
         context.stream, args, least, static_cast<float>(1 / args.sampling.temperature), best);
  launch(sample_merge_kernel,
         {.grid = dim3(rows), .block = dim3(kWarpSize), .overlap_previous = true}, context.stream,
         best, static_cast<int>(chunks), args.out);
}

}  // namespace skipbench::cuda
