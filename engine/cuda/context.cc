#include <algorithm>
#include <utility>

#include "engine/cuda/operations.h"

namespace skipbench::cuda {

Context::Context(DeviceWeights::Allocate allocate, cudaStream_t on)
    : stream(on), weights(allocate, on), gemm(make_gemm()), allocate_(std::move(allocate)) {}

void* Context::scratch_bytes(Slot slot, int64_t bytes) {
  Buffer& buffer = scratch_[slot];
  if (buffer.bytes < bytes) {
    // The old memory goes first; the device finishes what still uses it.
    buffer = {};
    buffer.memory = allocate_(static_cast<size_t>(bytes));
    buffer.bytes = bytes;
    ++scratch_moves_;
  }
  return buffer.memory.get();
}

void Context::release(Slot slot) {
  if (scratch_.erase(slot) > 0) ++scratch_moves_;
}

}  // namespace skipbench::cuda
