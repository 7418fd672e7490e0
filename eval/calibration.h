// Brings a dynamic strategy to its budget: the threshold at which, on teacher-forced text, the mean
// number of layers per decoding step is K (design: "Budget").
#pragma once

#include <functional>
#include <span>
#include <string>

#include "engine/decoder.h"
#include "strategies/strategy.h"

namespace skipbench {

struct Calibration {
  std::string parameter = "threshold";  // what was found
  std::string value;                    // of other parameters than the threshold, as written
  double threshold = 1.0;
  double budget = 0;           // K
  double realised_budget = 0;  // mean layers per decoding step at `threshold`
  bool on_target = false;      // within 1 % of K
  int passes = 0;              // over the data, teacher-forced
};

// Bisection on the threshold; where 1 % cannot be reached, the threshold nearest to K. `data`:
// calibration prompts with the tokens that `full` makes of them. Throws Error when data has no
// decoding step. `on_pass` is called after each pass (progress bars, ^C through an exception).
Calibration calibrate_threshold(Decoder& decoder, const StrategySpec& spec,
                                std::span<const ScoreRequest> data, int64_t batch_size,
                                const std::function<void()>& on_pass = {});

// The same for a strategy whose sets do not depend on the input and whose mean grows with the whole
// number `parameter`, here of skip_decode its expected_length: found by bisection over [lowest,
// highest] on the lengths of `data` alone, without a pass of the model.
Calibration calibrate_length(const StrategySpec& spec, const std::string& parameter, int num_layers,
                             std::span<const ScoreRequest> data, int lowest, int highest);

}  // namespace skipbench
