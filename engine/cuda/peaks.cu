// The device's peak rates, measured: reading memory, and multiply-adds (in registers, and for the
// half types in the tensor cores through gemm.h).
#include <algorithm>
#include <chrono>

#include "engine/cuda/launch.h"
#include "engine/cuda/operations.h"
#include "engine/cuda/ptx.cuh"

namespace skipbench::cuda {
namespace {

constexpr unsigned kThreads = 512;
constexpr int kRounds = 5;
constexpr int kLaunchesPerRound = 8;
constexpr int kChains = 8;  // independent multiply-adds in flight per thread
constexpr int kMostSteps = 4096;
constexpr double kLongLaunch = 1e-3;  // seconds; no card takes as long for the most steps

// Reads all of `data`, kLoads loads of a thread in flight; the result keeps the compiler from
// leaving the loads out.
template <int kLoads>
__global__ void read_kernel(const std::byte* data, int64_t loads, uint32_t* out) {
  uint32_t sum = 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i + (kLoads - 1) * step < loads; i += kLoads * step) {
    uint4 value[kLoads];
#pragma unroll
    for (int l = 0; l < kLoads; ++l) value[l] = ptx::load_once(data + (i + l * step) * 16);
#pragma unroll
    for (int l = 0; l < kLoads; ++l) sum += (value[l].x ^ value[l].y) + (value[l].z ^ value[l].w);
  }
  for (; i < loads; i += step) sum += ptx::load_once(data + i * 16).x;
  if (sum == 0x9e3779b9u) out[0] = sum;
}

__global__ void multiply_add_kernel(float a, float b, int steps, float* out) {
  float x[kChains];
#pragma unroll
  for (int c = 0; c < kChains; ++c) x[c] = static_cast<float>(threadIdx.x + c);
  for (int s = 0; s < steps; ++s) {
#pragma unroll
    for (int c = 0; c < kChains; ++c) x[c] = fmaf(x[c], a, b);
  }
  float sum = 0;
#pragma unroll
  for (int c = 0; c < kChains; ++c) sum += x[c];
  if (sum == -1.0f) out[0] = sum;
}

// Seconds that the device takes for `calls` calls of `queue`.
template <typename Fn>
double seconds_of(Context& context, int calls, Fn&& queue) {
  using Clock = std::chrono::steady_clock;
  CUDA_CHECK(cudaStreamSynchronize(context.stream));
  const Clock::time_point begin = Clock::now();
  for (int i = 0; i < calls; ++i) queue();
  CUDA_CHECK(cudaStreamSynchronize(context.stream));
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// The best of several rounds, seconds per call of `queue`. A round is long beside the host clock's
// and the launches' cost.
template <typename Fn>
double best_seconds(Context& context, Fn&& queue) {
  seconds_of(context, kLaunchesPerRound, queue);  // warms up
  double best = 1e30;
  for (int round = 0; round < kRounds; ++round) {
    best = std::min(best, seconds_of(context, kLaunchesPerRound, queue) / kLaunchesPerRound);
  }
  return best;
}

double matrix_flops_per_second(Context& context, DType type) {
  const int64_t size = int64_t{32} * context.multiprocessors / 16 * 16;
  const int64_t operand = size * size * block_bytes(type);
  auto* memory = context.scratch<std::byte>(Slot::kPanel, 3 * operand);
  CUDA_CHECK(cudaMemsetAsync(memory, 0x11, static_cast<size_t>(2 * operand), context.stream));
  GemmArgs args;
  args.type = args.out_type = type;
  args.in = memory;
  args.weight = memory + operand;
  args.out = memory + 2 * operand;
  args.m = args.n = args.k = size;
  args.in_stride = args.weight_stride = args.out_stride = size;
  const double seconds = best_seconds(context, [&] { context.gemm->run(args, context.stream); });
  context.release(Slot::kPanel);
  return 2.0 * static_cast<double>(size * size * size) / seconds;
}

}  // namespace

double measure_read_bytes_per_second(Context& context) {
  const int64_t bytes = int64_t{16} * context.cache_bytes;
  auto* memory = context.scratch<std::byte>(Slot::kPanel, bytes);
  auto* out = context.scratch<uint32_t>(Slot::kSums, 1);
  CUDA_CHECK(cudaMemsetAsync(memory, 1, static_cast<size_t>(bytes), context.stream));
  // A bound that a kernel could pass is none: the best of several ways to read.
  double seconds = 1e30;
  for (const int blocks : {1, 2, 4}) {
    for (const auto kernel : {read_kernel<4>, read_kernel<8>, read_kernel<16>}) {
      seconds =
          std::min(seconds, best_seconds(context, [&] {
                     launch(kernel,
                            {.grid = dim3(static_cast<unsigned>(blocks * context.multiprocessors)),
                             .block = dim3(kThreads)},
                            context.stream, static_cast<const std::byte*>(memory), bytes / 16, out);
                   }));
    }
  }
  context.release(Slot::kPanel);  // 16 times the cache: no part of what a model needs
  return static_cast<double>(bytes) / seconds;
}

double measure_flops_per_second(Context& context, DType type) {
  auto* out = context.scratch<float>(Slot::kSums, 1);
  const unsigned blocks = static_cast<unsigned>(4 * context.multiprocessors);
  int steps = 64;
  const auto queue = [&] {
    launch(multiply_add_kernel, {.grid = dim3(blocks), .block = dim3(kThreads)}, context.stream,
           0.999f, 0.001f, steps, out);
  };
  // The emulated device would take a minute for the most steps.
  while (steps < kMostSteps && seconds_of(context, 1, queue) < kLongLaunch) steps *= 8;
  const double seconds = best_seconds(context, queue);
  const double scalar = 2.0 * kChains * steps * blocks * kThreads / seconds;
  return std::max(scalar, matrix_flops_per_second(context, type));
}

}  // namespace skipbench::cuda
