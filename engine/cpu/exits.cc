#include <cassert>
#include <chrono>
#include <cstring>

#include "engine/cpu/operations.h"

namespace skipbench::cpu {
namespace {

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void count_running(const ExitState& state) {
  *state.any_running = 0;
  for (int64_t r = 0; r < state.rows; ++r) *state.any_running |= state.running[r];
  *state.none_running = 1 - *state.any_running;
}

}  // namespace

void begin_exits(Context&, const BeginExitsArgs& args) {
  const ExitState& state = args.state;
  for (int64_t r = 0; r < state.rows; ++r) {
    state.running[r] = args.finished[r] == 0;
    state.sublayers[r] = state.tests[r] = 0;
    ++state.step[r];
  }
  state.clock_ns[1] = 0;
  count_running(state);
}

void start_exit_clock(Context&, const ExitState& state) { state.clock_ns[0] = now_ns(); }

void test_exits(Context&, const TestExitsArgs& args) {
  const ExitState& state = args.state;
  for (int64_t r = 0; r < state.rows; ++r) {
    if (state.running[r] == 0) continue;
    const NextToken& next = args.next[r];
    state.sublayers[r] += args.sublayers;
    state.chosen[r] = next;
    if (args.thresholds == nullptr) continue;
    ++state.tests[r];
    const int last = args.num_thresholds - 1;
    const double threshold = args.thresholds[state.step[r] < last ? state.step[r] : last];
    bool stops = exit_confidence(args.signal, next.top_probability, next.second_probability,
                                 next.entropy, args.log_vocabulary) > threshold;
    if (args.num_depths > 0) {
      stops = state.sublayers[r] >=
              2 * args.depths[replayed_entry(state.step[r], args.texts[r], args.num_depths)];
    }
    state.running[r] = stops ? 0 : 1;
  }
  count_running(state);
  if (args.thresholds != nullptr) state.clock_ns[1] += now_ns() - state.clock_ns[0];
}

void copy_rows_if(Context&, const CopyRowsArgs& args) {
  assert(args.in.type == args.out.type && args.in.cols == args.out.cols);
  const int64_t element = block_bytes(args.in.type);
  for (int64_t r = 0; r < args.in.rows; ++r) {
    if (args.flag != nullptr && args.flag[r] != args.value) continue;
    std::memcpy(static_cast<std::byte*>(args.out.data) + r * args.out.stride * element,
                static_cast<const std::byte*>(args.in.data) + r * args.in.stride * element,
                static_cast<size_t>(args.in.cols * element));
  }
}

}  // namespace skipbench::cpu
