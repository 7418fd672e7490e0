// LayerNorm and RMSNorm: a block per row.
#include "engine/cuda/linear_args.cuh"

namespace skipbench::cuda {
namespace {

constexpr unsigned kThreads = 256;

struct NormPartials {
  float values[kThreads / kWarpSize];
};

__global__ void norm_kernel(Norm norm, Rows in, Rows out, int64_t cols) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  const int64_t row = blockIdx.x;
  float shift[1];
  float factor[1];
  row_statistics<1>(norm, in, row, 1, cols, block_shared<NormPartials>().values, shift, factor);
  // Each thread writes what it read alone, so `out` may be `in`.
  const std::byte* from = row_of(in, row);
  std::byte* to = row_of(out, row);
  for (int64_t i = 4 * static_cast<int64_t>(threadIdx.x); i < cols; i += 4 * blockDim.x) {
    const float4 x = load_four(in.type, from, i, cols);
    const float4 y = normalise_four(norm, x, shift[0], factor[0], i, cols);
    store_element(out.type, to, i, y.x);
    if (i + 1 < cols) store_element(out.type, to, i + 1, y.y);
    if (i + 2 < cols) store_element(out.type, to, i + 2, y.z);
    if (i + 3 < cols) store_element(out.type, to, i + 3, y.w);
  }
}

}  // namespace

void norm(Context& context, const NormArgs& args) {
  if (args.in.rows == 0) return;
  const Norm device = device_norm(context, {args.kind, args.epsilon, args.weights});
  launch(norm_kernel,
         {.grid = dim3(static_cast<unsigned>(args.in.rows)),
          .block = dim3(kThreads),
          .overlap_previous = true},
         context.stream, device, rows_of(args.in), rows_of(args.out), args.in.cols);
}

}  // namespace skipbench::cuda
