// One test of a bench as llama-bench's fields, then ours: what `bench` prints, what a sweep's
// timings are exported as, and what a history keeps.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "eval/provenance.h"

namespace skipbench {

struct BenchRow {
  std::string test;  // "pp64", "tg64 @ d64"
  std::string strategy;
  double target = 1;
  int batch = 1;
  int n_prompt = 0;  // as in llama-bench: 0 in a tg test
  int n_gen = 0;     // 0 in a pp test
  int n_depth = 0;
  std::optional<double> layers;    // realised per token of the test, counted; none: not known
  std::string exit_depths;         // where replayed exits come from; empty: none are replayed
  double exit_test_share = 0;      // of the decoding time, all repetitions together
  std::optional<double> speedup;   // median tokens/s over that of `full` at the same test and batch
  std::vector<double> samples_ns;  // per repetition
  std::vector<double> samples_ts;  // tokens per second per repetition
  // Of the generations behind the test, prompt and decoding, where the machine says it
  // (eval/telemetry/batch_meter.h). Energy over output tokens, in a tg test alone.
  std::optional<double> joules_per_token;
  std::optional<int64_t> peak_memory_bytes;  // the highest, of the process: of all strategies
  std::optional<double> sm_clock_mhz;        // mean at their ends
  std::optional<double> memory_clock_mhz;    // likewise
  std::optional<int64_t> clock_reasons;      // bits of all of them together
  // The most of other processes on the card, and of its memory that they held.
  std::optional<int64_t> foreign_processes, foreign_memory_bytes;
};

// What the rows have in common. Of a results file not everything is known.
struct BenchContext {
  std::string model;
  std::string model_type;             // "llama 30L q4_1, q8_0"; empty: not known
  std::optional<int64_t> model_size;  // bytes of the weights
  std::optional<int64_t> model_n_params;
  std::string type_kv;
  std::string test_time;  // RFC 3339, UTC
  Provenance provenance;
};

// The device's name where it is no CPU (whose name is in cpu_info), as in llama-bench.
std::string gpu_info(const Provenance& provenance);

// The fields without the samples, in their order; what is not known is null.
nlohmann::ordered_json bench_fields(const BenchContext& context, const BenchRow& row);

// With `samples_ns` and `samples_ts`, as JSON has them.
nlohmann::ordered_json bench_json(const BenchContext& context, const BenchRow& row);

double mean_of(const std::vector<double>& values);
// Of a sample (n - 1), as llama-bench; 0 for a single value.
double deviation_of(const std::vector<double>& values);

}  // namespace skipbench
