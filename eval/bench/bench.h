// Throughput of strategies on random tokens, in llama-bench's conventions: ppN and tgN tests,
// repetitions after a warm-up, mean and sample deviation, every sample kept.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/decoder.h"
#include "eval/provenance.h"
#include "strategies/strategy.h"

namespace skipbench {

struct BenchRequest {
  // Of the ppN tests, and the depths at which tgN starts. 0: no ppN, and tgN after one token.
  std::vector<int> prompt_tokens = {64};
  int new_tokens = 64;  // tokens made by decoding steps, after the prefill's one; 0: no tgN
  std::vector<int> batches = {1};
  std::vector<StrategySpec> strategies;  // `full` is always measured, as the speedup's base
  int repetitions = 5;
  int warmup = 1;  // at the measured shape
  uint64_t seed = 0;
};

struct BenchRow {
  std::string test;  // "pp64", "tg64 @ d64"
  std::string strategy;
  double target = 1;
  int batch = 1;
  int n_prompt = 0;  // as in llama-bench: 0 in a tg test
  int n_gen = 0;     // 0 in a pp test
  int n_depth = 0;
  double layers = 0;               // realised per token of the test, counted
  std::string exit_depths;         // where replayed exits come from; empty: none are replayed
  double exit_test_share = 0;      // of the decoding time, all repetitions together
  double speedup = 1;              // median tokens/s over that of `full` at the same test and batch
  std::vector<double> samples_ns;  // per repetition
  std::vector<double> samples_ts;  // tokens per second per repetition
};

// What the rows have in common.
struct BenchContext {
  std::string model;
  std::string model_type;  // "llama 30L q4_1, q8_0"
  int64_t model_size = 0;  // bytes of the weights
  int64_t model_n_params = 0;
  std::string type_kv;
  std::string test_time;  // RFC 3339, UTC
  Provenance provenance;
};

BenchContext bench_context(Model& model);

// Strategies are interleaved repetition by repetition, so that a drift of the machine's speed hits
// all alike. `on_sample` is called after each generation with how many are done and in all.
std::vector<BenchRow> run_bench(Decoder& decoder, const BenchRequest& request,
                                const std::function<void(int done, int all)>& on_sample = {});

// `format`: md, csv, json or sql. Throws Error for another.
std::string format_bench(const BenchContext& context, std::span<const BenchRow> rows,
                         const std::string& format);

}  // namespace skipbench
