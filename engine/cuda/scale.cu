// Rows times a factor, in place: a block per row.
#include "engine/cuda/elements.cuh"
#include "engine/cuda/launch.h"
#include "engine/cuda/operations.h"

namespace skipbench::cuda {
namespace {

constexpr unsigned kThreads = 128;

__global__ void scale_kernel(Rows rows, int64_t cols, float factor) {
  std::byte* row = row_of(rows, blockIdx.x);
  for (int64_t c = threadIdx.x; c < cols; c += blockDim.x) {
    store_element(rows.type, row, c, load_element(rows.type, row, c) * factor);
  }
}

}  // namespace

void scale(Context& context, const ScaleArgs& args) {
  if (args.rows.rows == 0) return;
  launch(scale_kernel,
         {.grid = dim3(static_cast<unsigned>(args.rows.rows)), .block = dim3(kThreads)},
         context.stream, rows_of(args.rows), args.rows.cols, args.factor);
}

}  // namespace skipbench::cuda
