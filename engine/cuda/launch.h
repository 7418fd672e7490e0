// How kernels are launched and how they get shared memory: the one place that differs between nvcc
// and the emulated device of tests/emulator, where these sources compile as plain C++.
//
// House rules that make a kernel run on both:
//   - launch only through `launch`, never with <<<>>>;
//   - shared memory only from `block_shared` and `dynamic_shared`, never as a __shared__ variable:
//     the emulator poisons and guards what it hands out;
//   - warp operations with kFullWarp: every lane of a warp reaches them (round loop bounds up);
//   - PTX and packed arithmetic in ptx.cuh and dtype.cuh alone.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <map>
#include <utility>

#include "engine/cuda/check.h"

namespace skipbench::cuda {

constexpr unsigned kFullWarp = 0xffffffffu;
constexpr int kWarpSize = 32;

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;  // of dynamic_shared
  // May start before the launch ahead of it in the stream has ended (programmatic dependent
  // launch): the kernel then calls ptx::wait_for_previous() in every thread, before it touches what
  // a launch wrote or writes what one may read; weights, which no launch writes, it may read
  // earlier. The emulated device checks that each thread has waited.
  bool overlap_previous = false;
};

// Queues `kernel` on `stream`. Above 48 KiB of dynamic shared memory allow_shared_bytes goes first.
template <typename... Params, typename... Args>
void launch(void (*kernel)(Params...), const LaunchShape& shape, cudaStream_t stream,
            Args&&... args) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = shape.overlap_previous ? 1 : 0;
  CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, std::forward<Args>(args)...));
}

// Lets launches of `kernel` have `bytes` of dynamic shared memory. Never fewer than before: the
// limit is the kernel's, and recorded launches that need more of it are still to be run. `allowed`:
// what this device was told so far (Context::shared_bytes_allowed).
template <typename... Params>
void allow_shared_bytes(std::map<const void*, size_t>& allowed, void (*kernel)(Params...),
                        size_t bytes) {
  size_t& most = allowed[reinterpret_cast<const void*>(kernel)];
  if (bytes <= most) return;
  most = bytes;
  CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                  cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(bytes)));
}

#ifdef __CUDACC__

// The launch's dynamic shared memory, aligned to 16 bytes. Unset at the start of a block.
template <typename T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char skipbench_dynamic_shared[];
  return reinterpret_cast<T*>(skipbench_dynamic_shared);
}

// A block's one object of type T, whose size is known at compile time. Two calls with one T give
// the same object: let T be a struct of the kernel's own. Unset at the start of a block.
template <typename T>
__device__ __forceinline__ T& block_shared() {
  __shared__ __align__(16) unsigned char storage[sizeof(T)];
  return *reinterpret_cast<T*>(storage);
}

#else

template <typename T>
T* dynamic_shared() {
  return static_cast<T*>(emulator::dynamic_shared_memory());
}

template <typename T>
T& block_shared() {
  static emulator::SharedSlot slot(sizeof(T));
  return *static_cast<T*>(slot.memory());
}

#endif

}  // namespace skipbench::cuda
