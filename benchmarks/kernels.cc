// kernels_bench: the CPU's operations that take a step's time, at the demo model's shapes, in GB/s
// and GFLOP/s and in percent of what the same process measured the machine to be capable of.
//
//   kernels_bench --threads=2 --benchmark_filter=linear/q4_1
#include "benchmarks/kernels.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "engine/cpu/cpu_backend.h"

namespace skipbench::bench {
namespace {

std::unique_ptr<Backend>& instance() {
  static std::unique_ptr<Backend> backend;
  return backend;
}

// Takes --threads=N out of the arguments; 0: the machine's cores.
int threads_from(int& argc, char** argv) {
  constexpr std::string_view kFlag = "--threads=";
  int threads = 0;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kFlag)) {
      threads = std::atoi(argv[i] + kFlag.size());
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return threads;
}

}  // namespace

Backend& backend() { return *instance(); }

void set_counters(benchmark::State& state, Clock::time_point begin, double bytes, double flops) {
  const std::chrono::duration<double> elapsed = Clock::now() - begin;
  const double per_second = static_cast<double>(state.iterations()) / elapsed.count();
  Backend& cpu = backend();
  state.counters["GB/s"] = bytes * per_second * 1e-9;
  state.counters["GFLOP/s"] = flops * per_second * 1e-9;
  state.counters["%read"] = 100 * bytes * per_second / cpu.peak_read_bytes_per_second();
  state.counters["%flops"] = 100 * flops * per_second / cpu.peak_flops_per_second();
}

RandomWeight random_weight(DType type, int64_t rows, int64_t cols, uint32_t seed) {
  RandomWeight out;
  out.bytes.resize(rows * bytes_of(type, cols));
  std::minstd_rand random(seed);
  for (std::byte& b : out.bytes) b = static_cast<std::byte>(random() >> 8);
  const uint16_t small = type == DType::kBF16 ? f32_to_bf16(0.01f) : f32_to_f16(0.01f);
  const auto size = static_cast<int64_t>(out.bytes.size());
  if (is_quantised(type)) {
    for (int64_t b = 0; b < size; b += block_bytes(type)) {
      std::memcpy(&out.bytes[b], &small, sizeof(small));
      if (type == DType::kQ4_1) std::memcpy(&out.bytes[b + 2], &small, sizeof(small));
    }
  } else {
    for (int64_t i = 0; i < rows * cols; ++i) {
      const float value = 0.02f * static_cast<float>(static_cast<int>(random() >> 8 & 255) - 128);
      const uint16_t bits = type == DType::kBF16 ? f32_to_bf16(value) : f32_to_f16(value);
      if (type == DType::kF32) {
        std::memcpy(&out.bytes[4 * i], &value, sizeof(value));
      } else {
        std::memcpy(&out.bytes[2 * i], &bits, sizeof(bits));
      }
    }
  }
  out.weight = {"random", type, rows, cols, out.bytes.data()};
  return out;
}

RandomMatrix random_matrix(int64_t rows, int64_t cols) {
  std::vector<float> values(rows * cols);
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (float& v : values) v = normal(random);
  // The backend's own memory, aligned as a model's activations are.
  RandomMatrix out;
  out.memory = backend().allocate(values.size() * sizeof(float));
  backend().upload(out.memory.get(), values.data(), values.size() * sizeof(float));
  out.matrix = {out.memory.get(), DType::kF32, rows, cols, cols};
  return out;
}

}  // namespace skipbench::bench

int main(int argc, char** argv) {
  using namespace skipbench;
  DeviceSpec spec;
  spec.threads = bench::threads_from(argc, argv);
  bench::instance() = make_cpu_backend(spec);
  Backend& cpu = bench::backend();
  std::fprintf(stderr, "%s, %s, %d threads: %.1f GB/s read, %.1f GFLOP/s\n",
               cpu.device_name().c_str(), cpu.instruction_set().c_str(), cpu.threads(),
               cpu.peak_read_bytes_per_second() * 1e-9, cpu.peak_flops_per_second() * 1e-9);
  bench::register_linear();
  bench::register_attend();
  bench::register_exit_test();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
