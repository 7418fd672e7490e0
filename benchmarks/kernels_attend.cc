#include <cmath>
#include <string>

#include "benchmarks/kernels.h"

namespace skipbench::bench {
namespace {

// One layer's attention: `rows` sequences that decode, each with `length` positions, or one
// sequence's prompt of `rows` tokens (length 0).
void run_attend(benchmark::State& state, int64_t rows, int64_t length) {
  ModelConfig config;
  config.num_heads = kHeads;
  config.num_kv_heads = kKvHeads;
  config.head_dim = kHeadDim;
  config.attention_scale = 1 / std::sqrt(static_cast<double>(kHeadDim));
  const bool prefill = length == 0;
  const int64_t sequences = prefill ? 1 : rows;
  const int64_t capacity = prefill ? rows : length;
  const RandomMatrix keys = random_matrix(sequences * kKvHeads * capacity, kHeadDim);
  const RandomMatrix values = random_matrix(sequences * kKvHeads * capacity, kHeadDim);
  const RandomMatrix qkv = random_matrix(rows, config.qkv_rows());
  const RandomMatrix out = random_matrix(rows, kHeads * kHeadDim);
  std::vector<int32_t> sequence(rows, 0);
  std::vector<int32_t> position(rows, static_cast<int32_t>(length - 1));
  double positions = 0;
  for (int64_t r = 0; r < rows; ++r) {
    (prefill ? position : sequence)[r] = static_cast<int32_t>(r);
    positions += position[r] + 1;
  }
  AttendArgs args;
  args.config = &config;
  args.rows = {rows, nullptr, sequence.data(), position.data()};
  args.qkv = qkv.matrix;
  args.cache = {keys.matrix.data, values.matrix.data, DType::kF32, capacity, nullptr};
  args.out = out.matrix;
  const Clock::time_point begin = Clock::now();
  for (auto _ : state) backend().attend(args);
  // Keys and values are read once per kv head; every query head makes two products of them.
  const double cached = prefill ? static_cast<double>(rows) : positions;
  set_counters(state, begin, 2 * 4.0 * kKvHeads * kHeadDim * cached,
               2 * 2.0 * kHeads * kHeadDim * positions);
}

void run_next_token(benchmark::State& state, int64_t rows) {
  const RandomMatrix logits = random_matrix(rows, kVocabulary);
  std::vector<NextToken> out(rows);
  const Clock::time_point begin = Clock::now();
  for (auto _ : state) backend().next_token({logits.matrix, false, out.data()});
  set_counters(state, begin, 4.0 * static_cast<double>(rows * kVocabulary), 0);
}

void run_sample(benchmark::State& state, int64_t rows, int top_k) {
  const RandomMatrix logits = random_matrix(rows, kVocabulary);
  std::vector<NextToken> out(rows);
  const std::vector<int32_t> place(rows, 3);
  const SampleArgs args{logits.matrix, {1.0, top_k, 1}, place.data(), place.data(), out.data()};
  const Clock::time_point begin = Clock::now();
  for (auto _ : state) backend().sample(args);
  set_counters(state, begin, 4.0 * static_cast<double>(rows * kVocabulary), 0);
}

}  // namespace

void register_attend() {
  for (int64_t rows : {1, 8}) {
    for (int64_t length : {64, 256, 2048}) {
      const std::string name = "attend/" + std::to_string(rows) + "/" + std::to_string(length);
      benchmark::RegisterBenchmark(name.c_str(), run_attend, rows, length)
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
  for (int64_t rows : {64, 512}) {
    benchmark::RegisterBenchmark(("prefill_attend/" + std::to_string(rows)).c_str(), run_attend,
                                 rows, int64_t{0})
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
  for (int64_t rows : {1, 8}) {
    benchmark::RegisterBenchmark(("next_token/" + std::to_string(rows)).c_str(), run_next_token,
                                 rows)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
    for (const int top_k : {0, 50}) {
      const std::string name =
          "sample/" + std::to_string(rows) + "/top_k:" + std::to_string(top_k);
      benchmark::RegisterBenchmark(name.c_str(), run_sample, rows, top_k)
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace skipbench::bench
