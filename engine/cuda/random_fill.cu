// Random weights made where they are used: a block per row, the same bits as on the host.
#include <cassert>

#include "engine/cuda/device_weights.h"
#include "engine/cuda/elements.cuh"
#include "engine/cuda/launch.h"
#include "engine/weights/random_fill.h"

namespace skipbench::cuda {
namespace {

constexpr unsigned kThreads = 256;

__global__ void fill_random_kernel(RandomFill fill, int64_t first, DeviceMatrix out) {
  const int64_t row = blockIdx.x;
  std::byte* to = const_cast<std::byte*>(out.data) + row * out.pitch_bytes;
  for (int64_t c = threadIdx.x; c < out.cols; c += blockDim.x) {
    const auto index = static_cast<uint64_t>(first + row * out.cols + c);
    store_element(out.type, to, c, unit_normal(fill.stream, index) * fill.deviation);
  }
}

}  // namespace

void fill_random(const RandomFill& fill, int64_t first, const DeviceMatrix& out,
                 cudaStream_t stream) {
  assert(!is_quantised(out.type));
  launch(fill_random_kernel,
         {.grid = dim3(static_cast<unsigned>(out.rows)), .block = dim3(kThreads)}, stream, fill,
         first, out);
}

}  // namespace skipbench::cuda
