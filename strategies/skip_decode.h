// skip_decode's schedule, shared with the search for its slope.
#pragma once

#include "strategies/strategy.h"

namespace skipbench {

struct DecodeSchedule {
  int most = 1;                // layers of step 0
  int least = 1;               // layers from step expected_length - 1 on
  int warmup = 0;              // layers at the bottom that always run
  double expected_length = 2;  // decoding steps over which the number falls
};

// The schedule that `spec` asks for; without `min_layers` it is the steepest. Throws Error for a
// target or a parameter out of range.
DecodeSchedule decode_schedule(const StrategySpec& spec, int num_layers);

}  // namespace skipbench
