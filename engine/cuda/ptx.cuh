// The only file with PTX and cache hints. Each has a twin of a few lines for the emulated device,
// which means the same and says nothing about speed.
#pragma once

#include <cuda_runtime.h>

#include <chrono>
#include <cstdint>
#include <cstring>

namespace skipbench::cuda::ptx {

#ifdef __CUDACC__

// Sixteen bytes that are read once (weights): through the read-only path, first to be evicted from
// L1. `address` is a multiple of 16, and nothing writes there while the kernel runs.
__device__ __forceinline__ uint4 load_once(const void* address) {
  uint4 out;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(out.x), "=r"(out.y), "=r"(out.z), "=r"(out.w)
               : "l"(address));
  return out;
}

// Sixteen bytes that other blocks read too (activations, the cache).
__device__ __forceinline__ uint4 load16(const void* address) {
  return *static_cast<const uint4*>(address);
}

__device__ __forceinline__ void store16(void* address, const uint4& value) {
  *static_cast<uint4*>(address) = value;
}

// Starts the copy of 16 bytes from global to shared memory, both aligned to 16. commit() closes a
// group; wait<n>() returns when all but the newest n groups have landed for this thread.
__device__ __forceinline__ void copy_async16(void* shared, const void* global) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global));
}
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;"); }
template <int kGroups>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups));
}

// Programmatic dependent launch (sm_90; nothing before it): waits for the launch ahead in the
// stream; lets the next one start. See LaunchShape::overlap_previous.
__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ __forceinline__ void let_next_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// Loads after it are not started before it: keeps the compiler from holding more in registers than
// there are.
__device__ __forceinline__ void keep_order() { asm volatile("" ::: "memory"); }

// The device's wall clock, one for all multiprocessors.
__device__ __forceinline__ int64_t clock_ns() {
  int64_t out;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(out));
  return out;
}

// e^x and 2^x in a few units of the last place.
__device__ __forceinline__ float fast_exp(float x) { return __expf(x); }
__device__ __forceinline__ float fast_exp2(float x) {
  float out;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}

#else

// A plain uint4 load, so that the sanitizers see its bounds and its alignment.
inline uint4 load_once(const void* address) { return *static_cast<const uint4*>(address); }
inline uint4 load16(const void* address) { return *static_cast<const uint4*>(address); }
inline void store16(void* address, const uint4& value) { *static_cast<uint4*>(address) = value; }

inline void copy_async16(void* shared, const void* global) {
  *static_cast<uint4*>(shared) = *static_cast<const uint4*>(global);
}
inline void copy_async_commit() {}
template <int kGroups>
void copy_async_wait() {}

inline void wait_for_previous() {}
inline void let_next_start() {}
inline void keep_order() {}

inline int64_t clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

inline float fast_exp(float x) { return expf(x); }
inline float fast_exp2(float x) { return exp2f(x); }

#endif

}  // namespace skipbench::cuda::ptx
