// The only file with PTX and cache hints. Each has a twin of a few lines for the emulated device,
// which means the same and says nothing about speed.
#pragma once

#include <cuda_runtime.h>

#include <chrono>
#include <cstdint>
#include <cstring>

#include "engine/cuda/dtype.cuh"

namespace skipbench::cuda::ptx {

// What a lane brings to a product of a warp; two 16-bit elements in each word.
struct FragmentA {
  uint32_t word[4];
};
struct FragmentB {
  uint32_t word[2];
};

#ifdef __CUDACC__

// Sixteen bytes that are read once (weights), not kept in L1. `address` is a multiple of 16, and
// nothing writes there while the kernel runs. Not through the read-only path (.nc): ptxas moves
// such loads below wait_for_previous(), ahead of which weights are to be asked for.
__device__ __forceinline__ uint4 load_once(const void* address) {
  uint4 out;
  asm volatile("ld.global.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
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
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
}
__device__ __forceinline__ void copy_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kGroups>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
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

// d [16, 8] += a [16, 16] * b [16, 8] in f32, by a whole warp (PTX ISA, "Matrix Fragments for
// mma.m16n8k16"). With g = lane / 4 and t = lane % 4 a lane holds
//   a: (g, 2t..), (g + 8, 2t..), (g, 2t + 8..), (g + 8, 2t + 8..);  b: (2t.., g), (2t + 8.., g);
//   d: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1).
template <typename T>
__device__ __forceinline__ void multiply_16x8x16(const FragmentA& a, const FragmentB& b,
                                                 float (&d)[4]) {
  static_assert(kDTypeOf<T> == DType::kF16 || kDTypeOf<T> == DType::kBF16);
  if constexpr (kDTypeOf<T> == DType::kF16) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "r"(b.word[0]),
          "r"(b.word[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "r"(b.word[0]),
          "r"(b.word[1]));
  }
}

// The b of two products from a tile of 16-bit elements in shared memory, whose rows of `pitch`
// elements begin at multiples of 16 bytes; b[i] has columns 8 i .. 8 i + 7 of 16.
//   load_columns: column n of b is row n of the tile, elements 0 .. 15;
//   load_rows: row k of b is row k of the tile, elements 0 .. 15.
// Lane l says where row l % 8 of the eight by eight matrix l / 8 begins (PTX ISA, ldmatrix).
template <typename T>
__device__ __forceinline__ void load_columns(const T* tile, int pitch, FragmentB (&b)[2]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const T* row = tile + (lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 8;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(b[0].word[0]), "=r"(b[0].word[1]), "=r"(b[1].word[0]), "=r"(b[1].word[1])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}
template <typename T>
__device__ __forceinline__ void load_rows(const T* tile, int pitch, FragmentB (&b)[2]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const T* row = tile + lane % 16 * pitch + lane / 16 * 8;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(b[0].word[0]), "=r"(b[0].word[1]), "=r"(b[1].word[0]), "=r"(b[1].word[1])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

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

// Until it has landed nobody may read there: NaN, and for ThreadSanitizer written now and then.
inline void copy_async16(void* shared, const void* global) {
  static_cast<void>(*static_cast<const volatile unsigned*>(global));  // its bounds, for sanitizers
  *static_cast<uint4*>(shared) = {~0u, ~0u, ~0u, ~0u};
  emulator::start_copy({shared, global});
}
inline void copy_async_commit() { emulator::close_copy_group(); }
template <int kGroups>
void copy_async_wait() {
  for (emulator::AsyncCopy copy; emulator::take_landed_copy(kGroups, copy);) {
    *static_cast<uint4*>(copy.to) = *static_cast<const uint4*>(copy.from);
  }
}

inline void wait_for_previous() { emulator::wait_for_previous_grid(); }
inline void let_next_start() {}
inline void keep_order() {}

template <typename T>
void multiply_16x8x16(const FragmentA& a, const FragmentB& b, float (&d)[4],
                      std::source_location at = std::source_location::current()) {
  float a_values[8];
  float b_values[4];
  for (int i = 0; i < 4; ++i) {
    const float2 pair = to_float2(T{}, a.word[i]);
    a_values[2 * i] = pair.x;
    a_values[2 * i + 1] = pair.y;
  }
  for (int i = 0; i < 2; ++i) {
    const float2 pair = to_float2(T{}, b.word[i]);
    b_values[2 * i] = pair.x;
    b_values[2 * i + 1] = pair.y;
  }
  emulator::warp_multiply({a_values, b_values, d}, at);
}

// Element (k, n) of b, of the 16 columns of both, stands at tile[k * k_step + n * n_step].
template <typename T>
void load_elements(const T* tile, int k_step, int n_step, FragmentB (&b)[2]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = 0; i < 4; ++i) {
    const int k = i % 2 * 8 + lane % 4 * 2;
    const T* first = tile + k * k_step + (i / 2 * 8 + lane / 4) * n_step;
    b[i / 2].word[i % 2] = first[0].bits | static_cast<uint32_t>(first[k_step].bits) << 16;
  }
}
// Both by a whole warp, from rows that begin at multiples of 16 bytes.
template <typename T>
void load_columns(const T* tile, int pitch, FragmentB (&b)[2],
                  std::source_location at = std::source_location::current()) {
  emulator::check_matrix_rows(tile, pitch * static_cast<int>(sizeof(T)), at);
  load_elements(tile, 1, pitch, b);
}
template <typename T>
void load_rows(const T* tile, int pitch, FragmentB (&b)[2],
               std::source_location at = std::source_location::current()) {
  emulator::check_matrix_rows(tile, pitch * static_cast<int>(sizeof(T)), at);
  load_elements(tile, pitch, 1, b);
}

inline int64_t clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

inline float fast_exp(float x) { return expf(x); }
inline float fast_exp2(float x) { return exp2f(x); }

#endif

}  // namespace skipbench::cuda::ptx
