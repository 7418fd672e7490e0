// Exit tests that the device decides: which rows run on, what those that stop say, and what the
// tests took. A few rows: one warp looks at all of them.
#include <cassert>

#include "engine/cuda/elements.cuh"
#include "engine/cuda/launch.h"
#include "engine/cuda/operations.h"
#include "engine/cuda/ptx.cuh"
#include "engine/cuda/reduce.cuh"

namespace skipbench::cuda {
namespace {

constexpr unsigned kThreads = 128;

// Whole warp; `running` counts this lane's rows that run on.
__device__ __forceinline__ void set_flags(const ExitState& state, bool running) {
  const bool any = __any_sync(kFullWarp, running) != 0;
  if (threadIdx.x != 0) return;
  *state.any_running = any ? 1 : 0;
  *state.none_running = any ? 0 : 1;
}

__global__ void begin_exits_kernel(BeginExitsArgs args) {
  const ExitState& state = args.state;
  bool running = false;
  for (int64_t r = threadIdx.x; r < state.rows; r += kWarpSize) {
    const int32_t runs = args.finished[r] == 0 ? 1 : 0;
    state.running[r] = runs;
    state.sublayers[r] = 0;
    state.tests[r] = 0;
    state.step[r] += 1;
    running |= runs != 0;
  }
  set_flags(state, running);
  if (threadIdx.x == 0) state.clock_ns[1] = 0;
}

__global__ void start_exit_clock_kernel(ExitState state) {
  if (threadIdx.x == 0) state.clock_ns[0] = ptx::clock_ns();
}

__global__ void test_exits_kernel(TestExitsArgs args) {
  const ExitState& state = args.state;
  bool running = false;
  for (int64_t r = threadIdx.x; r < state.rows; r += kWarpSize) {
    if (state.running[r] == 0) continue;
    const NextToken next = args.next[r];
    state.sublayers[r] += args.sublayers;
    state.chosen[r] = next;
    if (args.thresholds != nullptr) {
      state.tests[r] += 1;
      const int last = args.num_thresholds - 1;
      const double threshold = args.thresholds[state.step[r] < last ? state.step[r] : last];
      const double confidence =
          exit_confidence(args.signal, next.top_probability, next.second_probability, next.entropy,
                          args.log_vocabulary);
      bool stops = confidence > threshold;
      if (args.num_depths > 0) {
        stops = state.sublayers[r] >=
                2 * args.depths[replayed_entry(state.step[r], args.texts[r], args.num_depths)];
      }
      if (stops) state.running[r] = 0;
    }
    running |= state.running[r] != 0;
  }
  set_flags(state, running);
  if (threadIdx.x == 0 && args.thresholds != nullptr) {
    state.clock_ns[1] += ptx::clock_ns() - state.clock_ns[0];
  }
}

__global__ void copy_rows_if_kernel(Rows in, Rows out, int64_t cols, const int32_t* flag,
                                    int32_t value) {
  const int64_t row = blockIdx.x;
  if (flag != nullptr && flag[row] != value) return;
  const std::byte* from = row_of(in, row);
  std::byte* to = row_of(out, row);
  for (int64_t c = threadIdx.x; c < cols; c += blockDim.x) {
    if (in.type == DType::kF32) {
      reinterpret_cast<uint32_t*>(to)[c] = reinterpret_cast<const uint32_t*>(from)[c];
    } else {
      reinterpret_cast<uint16_t*>(to)[c] = reinterpret_cast<const uint16_t*>(from)[c];
    }
  }
}

constexpr unsigned kOneWarp = kWarpSize;

}  // namespace

void begin_exits(Context& context, const BeginExitsArgs& args) {
  launch(begin_exits_kernel, {.grid = dim3(1), .block = dim3(kOneWarp)}, context.stream, args);
}

void start_exit_clock(Context& context, const ExitState& state) {
  launch(start_exit_clock_kernel, {.grid = dim3(1), .block = dim3(kOneWarp)}, context.stream,
         state);
}

void test_exits(Context& context, const TestExitsArgs& args) {
  launch(test_exits_kernel, {.grid = dim3(1), .block = dim3(kOneWarp)}, context.stream, args);
}

void copy_rows_if(Context& context, const CopyRowsArgs& args) {
  assert(args.in.type == args.out.type && args.in.cols == args.out.cols);
  if (args.in.rows == 0) return;
  launch(copy_rows_if_kernel,
         {.grid = dim3(static_cast<unsigned>(args.in.rows)), .block = dim3(kThreads)},
         context.stream, rows_of(args.in), rows_of(args.out), args.in.cols, args.flag, args.value);
}

}  // namespace skipbench::cuda
