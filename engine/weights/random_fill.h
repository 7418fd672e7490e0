// Random weights that depend on (seed, tensor name, element index) alone: the same bits on every
// machine, at any thread count, and on a device that makes them for itself.
#pragma once

#include <cstdint>
#include <string_view>

namespace skipbench {

// Finaliser of SplitMix64 (Steele et al., OOPSLA 2014).
constexpr uint64_t mix_bits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

constexpr uint64_t random_stream(uint64_t seed, std::string_view name) {
  uint64_t state = mix_bits(seed + 0x9e3779b97f4a7c15u);
  for (const char c : name) {
    state = mix_bits(state ^ static_cast<uint8_t>(c)) + 0x9e3779b97f4a7c15u;
  }
  return state;
}

// Nearly normal with deviation 1: the sum of four uniform 16-bit numbers, exact in integers. No
// logarithm or cosine, whose last bits differ between C libraries.
constexpr float unit_normal(uint64_t stream, uint64_t index) {
  const uint64_t bits = mix_bits(stream + index * 0x9e3779b97f4a7c15u);
  const auto sum = static_cast<int32_t>((bits & 0xffff) + ((bits >> 16) & 0xffff) +
                                        ((bits >> 32) & 0xffff) + (bits >> 48));
  // Mean 2 * 65535; variance 4 * (65536^2 - 1) / 12.
  constexpr float kInverseDeviation = 2.6428996e-05f;
  return static_cast<float>(sum - 2 * 65535) * kInverseDeviation;
}

}  // namespace skipbench
