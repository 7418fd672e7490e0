// A copy of rows by index: a block per row of the result.
#include <cassert>

#include "engine/cuda/elements.cuh"
#include "engine/cuda/launch.h"
#include "engine/cuda/operations.h"

namespace skipbench::cuda {
namespace {

constexpr unsigned kThreads = 128;

template <typename Word>
__device__ __forceinline__ void copy_row(std::byte* to, const std::byte* from, int64_t bytes) {
  const int64_t words = bytes / static_cast<int64_t>(sizeof(Word));
  for (int64_t i = threadIdx.x; i < words; i += blockDim.x) {
    reinterpret_cast<Word*>(to)[i] = reinterpret_cast<const Word*>(from)[i];
  }
}

__global__ void gather_rows_kernel(Rows in, const int32_t* index, Rows out, int64_t cols) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  const int64_t row = blockIdx.x;
  const std::byte* from = row_of(in, index[row]);
  std::byte* to = row_of(out, row);
  const int64_t bytes = cols * element_bytes(in.type);
  if (bytes % 16 == 0 && is_aligned(from, 16) && is_aligned(to, 16)) {
    copy_row<uint4>(to, from, bytes);
  } else {
    copy_row<uint16_t>(to, from, bytes);
  }
}

}  // namespace

void gather_rows(Context& context, const GatherRowsArgs& args) {
  assert(args.in.type == args.out.type && args.in.cols == args.out.cols);
  if (args.out.rows == 0) return;
  launch(gather_rows_kernel,
         {.grid = dim3(static_cast<unsigned>(args.out.rows)),
          .block = dim3(kThreads),
          .overlap_previous = true},
         context.stream, rows_of(args.in), args.index, rows_of(args.out), args.out.cols);
}

}  // namespace skipbench::cuda
