// CUDA's vector types, intrinsics, barriers, warp operations and atomics for the emulated device.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#include "tests/emulator/cuda_emulator.h"

// --- vector types, with the alignment that CUDA gives them ---------------------------------------

struct alignas(8) float2 {
  float x, y;
};
struct float3 {
  float x, y, z;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(4) ushort2 {
  unsigned short x, y;
};
struct alignas(8) ushort4 {
  unsigned short x, y, z, w;
};
struct alignas(4) char4 {
  signed char x, y, z, w;
};
struct alignas(4) uchar4 {
  unsigned char x, y, z, w;
};

inline float2 make_float2(float x, float y) { return {x, y}; }
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// --- arithmetic ----------------------------------------------------------------------------------

// CUDA has these in the global namespace for device code.
using std::isfinite;
using std::isinf;
using std::isnan;
using std::max;
using std::min;

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
template <typename T>
T __ldg(const T* address) {
  return *address;
}
// Four products of signed bytes, added to c.
inline int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 4; ++i) {
    c += static_cast<int8_t>(a >> (8 * i)) * static_cast<int8_t>(b >> (8 * i));
  }
  return c;
}

// --- barriers and warp operations ----------------------------------------------------------------

inline void __syncthreads(std::source_location at = std::source_location::current()) {
  skipbench::emulator::block_barrier(at);
}
inline void __syncwarp(unsigned mask = 0xffffffffu,
                       std::source_location at = std::source_location::current()) {
  skipbench::emulator::warp_operation(skipbench::emulator::WarpOp::kSync, mask, 0, 0, 32, at);
}

namespace skipbench::emulator {

// A shuffle of any type of up to 8 bytes.
template <typename T>
T shuffle(WarpOp op, unsigned mask, T value, int parameter, int width,
          const std::source_location& at) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warp_operation(op, mask, bits, parameter, width, at);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace skipbench::emulator

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
              std::source_location at = std::source_location::current()) {
  return skipbench::emulator::shuffle(skipbench::emulator::WarpOp::kShuffle, mask, value, lane,
                                      width, at);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 std::source_location at = std::source_location::current()) {
  return skipbench::emulator::shuffle(skipbench::emulator::WarpOp::kShuffleUp, mask, value,
                                      static_cast<int>(delta), width, at);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   std::source_location at = std::source_location::current()) {
  return skipbench::emulator::shuffle(skipbench::emulator::WarpOp::kShuffleDown, mask, value,
                                      static_cast<int>(delta), width, at);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  std::source_location at = std::source_location::current()) {
  return skipbench::emulator::shuffle(skipbench::emulator::WarpOp::kShuffleXor, mask, value,
                                      lane_mask, width, at);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              std::source_location at = std::source_location::current()) {
  return static_cast<unsigned>(skipbench::emulator::warp_operation(
      skipbench::emulator::WarpOp::kBallot, mask, predicate != 0, 0, 32, at));
}
inline int __any_sync(unsigned mask, int predicate,
                      std::source_location at = std::source_location::current()) {
  return __ballot_sync(mask, predicate, at) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      std::source_location at = std::source_location::current()) {
  return __ballot_sync(mask, predicate, at) == mask;
}
template <typename T>
unsigned __match_any_sync(unsigned mask, T value,
                          std::source_location at = std::source_location::current()) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return static_cast<unsigned>(skipbench::emulator::warp_operation(
      skipbench::emulator::WarpOp::kMatch, mask, bits, 0, 32, at));
}

// Blocks run one after another, threads of a block on one OS thread: memory is always in order.
inline void __threadfence() {}
inline void __threadfence_block() {}

// --- atomics: relaxed, so that ThreadSanitizer sees atomic accesses that order nothing else ------

template <typename T>
T atomicAdd(T* address, T value) {
  T old;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  T sum;
  do {
    sum = old + value;
  } while (
      !__atomic_compare_exchange(address, &old, &sum, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}
template <typename T>
T atomicExch(T* address, T value) {
  T old;
  __atomic_exchange(address, &value, &old, __ATOMIC_RELAXED);
  return old;
}
template <typename T>
T atomicCAS(T* address, T compare, T value) {
  __atomic_compare_exchange(address, &compare, &value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return compare;
}
template <typename T>
T atomicMax(T* address, T value) {
  T old = atomicCAS(address, value, value);
  while (old < value) {
    const T seen = atomicCAS(address, old, value);
    if (seen == old) break;
    old = seen;
  }
  return old;
}
template <typename T>
T atomicMin(T* address, T value) {
  T old = atomicCAS(address, value, value);
  while (value < old) {
    const T seen = atomicCAS(address, old, value);
    if (seen == old) break;
    old = seen;
  }
  return old;
}
template <typename T>
T atomicOr(T* address, T value) {
  return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);
}
// Counts up to `limit`, then starts at 0 again.
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  unsigned old = __atomic_load_n(address, __ATOMIC_RELAXED);
  unsigned next;
  do {
    next = old >= limit ? 0 : old + 1;
  } while (
      !__atomic_compare_exchange_n(address, &old, next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}
