// One 64-bit number to another that looks unrelated: counters become random numbers.
#pragma once

#include <cstdint>

namespace skipbench {

// The odd step of SplitMix64's counter: 2^64 over the golden ratio.
constexpr uint64_t kMixStep = 0x9e3779b97f4a7c15u;

// Finaliser of SplitMix64 (Steele et al., OOPSLA 2014).
constexpr uint64_t mix_bits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace skipbench
