// Cosine of the rows of two matrices: a block per row, sums in f64.
#include <cassert>

#include "engine/cuda/elements.cuh"
#include "engine/cuda/launch.h"
#include "engine/cuda/operations.h"
#include "engine/cuda/reduce.cuh"

namespace skipbench::cuda {
namespace {

constexpr unsigned kThreads = 128;

struct CosinePartials {
  double values[3 * kThreads / kWarpSize];
};

__global__ void cosine_kernel(Rows a, Rows b, int64_t cols, double* out) {
  const int64_t row = blockIdx.x;
  const std::byte* first = row_of(a, row);
  const std::byte* second = row_of(b, row);
  double sums[3] = {0, 0, 0};
  for (int64_t c = threadIdx.x; c < cols; c += blockDim.x) {
    const double x = load_element(a.type, first, c);
    const double y = load_element(b.type, second, c);
    sums[0] += x * y;
    sums[1] += x * x;
    sums[2] += y * y;
  }
  block_sum(sums, block_shared<CosinePartials>().values);
  if (threadIdx.x != 0) return;
  const double norms = sqrt(sums[1]) * sqrt(sums[2]);
  out[row] = norms > 0 ? fmin(fmax(sums[0] / norms, -1.0), 1.0) : 0.0;
}

}  // namespace

void cosine(Context& context, const CosineArgs& args) {
  assert(args.a.type == args.b.type && args.a.rows == args.b.rows && args.a.cols == args.b.cols);
  if (args.a.rows == 0) return;
  launch(cosine_kernel, {.grid = dim3(static_cast<unsigned>(args.a.rows)), .block = dim3(kThreads)},
         context.stream, rows_of(args.a), rows_of(args.b), args.a.cols, args.out);
}

}  // namespace skipbench::cuda
