// Rows of the embedding as activations: a block per token.
#include <cassert>

#include "engine/cuda/elements.cuh"
#include "engine/cuda/launch.h"
#include "engine/cuda/operations.h"
#include "engine/cuda/weight_pieces.cuh"

namespace skipbench::cuda {
namespace {

constexpr unsigned kThreads = 512;

template <DType kType>
__global__ void embed_kernel(DeviceMatrix table, const int32_t* token, Rows out) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  const int64_t row = blockIdx.x;
  std::byte* to = row_of(out, row);
  for (int64_t c = threadIdx.x; c < table.cols; c += blockDim.x) {
    store_element(out.type, to, c, weight_at<kType>(table, token[row], c));
  }
}

}  // namespace

void embed(Context& context, const EmbedArgs& args) {
  if (args.rows.rows == 0) return;
  const DeviceMatrix table = context.weights.matrix(*args.embedding);
  assert(table.cols == args.out.cols);
  with_weight_type(table.type, [&](auto type) {
    launch(embed_kernel<type()>,
           {.grid = dim3(static_cast<unsigned>(args.rows.rows)),
            .block = dim3(kThreads),
            .overlap_previous = true},
           context.stream, table, args.rows.token, rows_of(args.out));
  });
}

}  // namespace skipbench::cuda
