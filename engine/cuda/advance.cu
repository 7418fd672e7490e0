// The end of a step: rows take their next tokens, and the host gets them. A thread per row, so that
// no thread waits for another.
#include "engine/cuda/launch.h"
#include "engine/cuda/operations.h"
#include "engine/cuda/ptx.cuh"

namespace skipbench::cuda {
namespace {

constexpr unsigned kThreads = 128;

__global__ void advance_kernel(AdvanceArgs args) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= args.rows) return;
  const NextToken next = args.next[row];
  const int32_t step = args.step[row];
  // In the host's memory; visible there once the event behind this launch is.
  StepResult result = {next, 0, 0, 0};
  if (args.exits.rows > 0) {
    result.sublayers = args.exits.sublayers[row];
    result.exit_tests = args.exits.tests[row];
    result.exit_test_us = static_cast<float>(args.exits.clock_ns[1]) * 1e-3f;
  }
  args.results[step % args.slots * args.rows + row] = result;
  args.step[row] = step + 1;
  if (args.finished[row] != 0) return;
  args.token[row] = next.token;
  args.position[row] += 1;
  for (int i = 0; i < args.num_ends; ++i) {
    if (args.ends[i] == next.token) args.finished[row] = 1;
  }
}

}  // namespace

void advance(Context& context, const AdvanceArgs& args) {
  if (args.rows == 0) return;
  const auto blocks = static_cast<unsigned>((args.rows + kThreads - 1) / kThreads);
  launch(advance_kernel, {.grid = dim3(blocks), .block = dim3(kThreads), .overlap_previous = true},
         context.stream, args);
}

}  // namespace skipbench::cuda
