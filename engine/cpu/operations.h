// The CPU operations, one file each; CpuBackend hands its calls on to them. Argument structs and
// their meaning are those of engine/backend.h.
//
// Law of this folder: in f32 an output's bits depend on its own row and the inner dimension alone,
// never on the number of rows, the threads, or the place of the row in a pass. So every sum has one
// order: threads and register tiles split outputs, never a sum.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/base/thread_pool.h"
#include "engine/cpu/scratch.h"

namespace skipbench::cpu {

// cos and sin of the rows of the last pass: all layers of a pass ask for the same angles.
struct RopeCache {
  std::vector<double> inverse_frequencies;
  double attention_factor = 0;
  std::vector<int32_t> position;  // [rows]; -1: not computed
  std::vector<float> cosine;      // [rows, pairs]
  std::vector<float> sine;        // [rows, pairs]
};

// What the operations of one backend share.
struct Context {
  explicit Context(int threads) : pool(threads), thread_scratch(pool.threads()) {}

  ThreadPool pool;
  std::vector<Scratch> thread_scratch;  // [threads]
  Scratch shared_scratch;
  RopeCache rope;
  uint64_t linear_calls = 0;
};

void embed(Context& context, const EmbedArgs& args);
void norm(Context& context, const NormArgs& args);
void linear(Context& context, const LinearArgs& args);
void append_kv(Context& context, const AppendKvArgs& args);
void attend(Context& context, const AttendArgs& args);
void gather_rows(Context& context, const GatherRowsArgs& args);
void next_token(Context& context, const NextTokenArgs& args);
void sample(Context& context, const SampleArgs& args);
void log_prob(Context& context, const LogProbArgs& args);
void cosine(Context& context, const CosineArgs& args);
void scale(Context& context, const ScaleArgs& args);
void advance(Context& context, const AdvanceArgs& args);
void begin_exits(Context& context, const BeginExitsArgs& args);
void start_exit_clock(Context& context, const ExitState& state);
void test_exits(Context& context, const TestExitsArgs& args);
void copy_rows_if(Context& context, const CopyRowsArgs& args);

double measure_read_bytes_per_second(Context& context);
double measure_flops_per_second(Context& context);

// Name of the instruction set that run-time dispatch chose: "avx3", "avx2", "scalar".
std::string instruction_set();

// Slope of a head's ALiBi bias, slope * (key position - query position), as transformers'
// build_alibi_tensor defines it, also for head counts that are no power of two.
float alibi_slope(int head, int num_heads);

}  // namespace skipbench::cpu
