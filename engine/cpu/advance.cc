#include <algorithm>

#include "engine/cpu/operations.h"

namespace skipbench::cpu {

void advance(Context&, const AdvanceArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const NextToken& next = args.next[r];
    StepResult& result = args.results[args.step[r]++ % args.slots * args.rows + r];
    result = {.next = next};
    if (args.exits.rows > 0) {
      result.sublayers = args.exits.sublayers[r];
      result.exit_tests = args.exits.tests[r];
      result.exit_test_us = static_cast<float>(args.exits.clock_ns[1]) * 1e-3f;
    }
    if (args.finished[r] != 0) continue;
    args.token[r] = next.token;
    ++args.position[r];
    args.finished[r] =
        std::find(args.ends, args.ends + args.num_ends, next.token) != args.ends + args.num_ends;
  }
}

}  // namespace skipbench::cpu
