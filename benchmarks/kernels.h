// What the kernel benchmarks share: the backend, its measured peaks, and counters against them.
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <random>
#include <vector>

#include "engine/backend.h"

namespace skipbench::bench {

// The demo model's shapes (SmolLM2-135M).
constexpr int64_t kHidden = 576;
constexpr int64_t kIntermediate = 1536;
constexpr int64_t kVocabulary = 49152;
constexpr int kLayers = 30;
constexpr int kHeads = 9;
constexpr int kKvHeads = 3;
constexpr int kHeadDim = 64;

// One backend for the whole program; its peaks are measured before the first benchmark.
Backend& backend();

using Clock = std::chrono::steady_clock;

// Bytes and FLOPs of one iteration, computed from shapes, as GB/s and GFLOP/s since `begin`, and in
// percent of the peaks of this process.
void set_counters(benchmark::State& state, Clock::time_point begin, double bytes, double flops);

// Weights with random contents, far from zero and NaN, so that no value is cheaper than another.
struct RandomWeight {
  std::vector<std::byte> bytes;
  Weight weight;
};
RandomWeight random_weight(DType type, int64_t rows, int64_t cols, uint32_t seed);

// Activations of N(0, 1).
struct RandomMatrix {
  DeviceBuffer memory;
  Matrix matrix;
};
RandomMatrix random_matrix(int64_t rows, int64_t cols);

void register_linear();
void register_attend();
void register_exit_test();

}  // namespace skipbench::bench
