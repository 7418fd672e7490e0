// Random weights that depend on (seed, tensor name, element index) alone: the same bits on every
// machine, at any thread count, and on a device that makes them for itself.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/base/mix_bits.h"

namespace skipbench {

constexpr uint64_t random_stream(uint64_t seed, std::string_view name) {
  uint64_t state = mix_bits(seed + kMixStep);
  for (const char c : name) {
    state = mix_bits(state ^ static_cast<uint8_t>(c)) + kMixStep;
  }
  return state;
}

// Nearly normal with deviation 1: the sum of four uniform 16-bit numbers, exact in integers. No
// logarithm or cosine, whose last bits differ between C libraries.
constexpr float unit_normal(uint64_t stream, uint64_t index) {
  const uint64_t bits = mix_bits(stream + index * kMixStep);
  const auto sum = static_cast<int32_t>((bits & 0xffff) + ((bits >> 16) & 0xffff) +
                                        ((bits >> 32) & 0xffff) + (bits >> 48));
  // Mean 2 * 65535; variance 4 * (65536^2 - 1) / 12.
  constexpr float kInverseDeviation = 2.6428996e-05f;
  return static_cast<float>(sum - 2 * 65535) * kInverseDeviation;
}

}  // namespace skipbench
