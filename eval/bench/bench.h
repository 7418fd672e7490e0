// Throughput of strategies on random tokens, in llama-bench's conventions: ppN and tgN tests,
// repetitions after a warm-up, mean and sample deviation, every sample kept.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/decoder.h"
#include "eval/bench/row.h"
#include "eval/telemetry/batch_meter.h"
#include "strategies/strategy.h"

namespace skipbench {

struct BenchRequest {
  // Of the ppN tests, and the depths at which tgN starts. 0: no ppN, and tgN after one token.
  std::vector<int> prompt_tokens = {64};
  // Of the tgN tests: tokens made by decoding steps, after the prefill's one. 0: no tgN.
  std::vector<int> new_tokens = {64};
  std::vector<int> batches = {1};
  // `full` is always measured, as the speedup's base. What follows the number of new tokens
  // (with_new_tokens) is put in for each of them.
  std::vector<StrategySpec> strategies;
  int repetitions = 5;
  int warmup = 1;  // at the measured shape
  uint64_t seed = 0;
  TelemetrySources telemetry;  // tests have their own
};

BenchContext bench_context(Model& model);

// The tests of each prompt length and batch size, once for each number of new tokens; a ppN comes
// from the first of these. A pair of no prompt and no new tokens is left out.
// Strategies are interleaved repetition by repetition, so that a drift of the machine's speed hits
// all alike. `on_sample` is called after each generation with how many are done and in all.
std::vector<BenchRow> run_bench(Decoder& decoder, const BenchRequest& request,
                                const std::function<void(int done, int all)>& on_sample = {});

// `format`: md, csv, json, jsonl (a line a row) or sql. Throws Error for another.
std::string format_bench(const BenchContext& context, std::span<const BenchRow> rows,
                         const std::string& format);

}  // namespace skipbench
