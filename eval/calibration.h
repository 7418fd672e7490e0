// Brings a strategy to its budget: a dynamic one's threshold, at which the mean number of layers
// per decoding step of its own texts is K (design: "Budget"), and what others leave to
// measurements.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "engine/decoder.h"
#include "strategies/strategy.h"

namespace skipbench {

// How far from the budget K, of it, still counts as on target.
inline constexpr double kBudgetTolerance = 0.01;

struct Calibration {
  std::string parameter = "threshold";  // what was found
  std::string value;                    // of other parameters than the threshold, as written
  double threshold = 1.0;
  double budget = 0;           // K
  double realised_budget = 0;  // mean layers per decoding step at `threshold`
  bool on_target = false;      // within 1 % of K
  int passes = 0;              // over the data
};

// What dynamic strategies are calibrated on: texts that they make themselves, as in the measurement
// that follows. Teacher-forced on other texts a threshold can be far off: early exits change what
// comes next.
struct CalibrationPrompts {
  std::span<const TokenIds> prompts;
  int64_t batch_size = 1;
  GenerateOptions options;         // where texts end
  std::function<void()> on_batch;  // after each batch (^C through an exception)
};

// Bisection on the threshold, and thresholds around the border where it ends at a jump; where 1 %
// cannot be reached, the threshold nearest to K. Throws Error when no text has a decoding step.
Calibration calibrate_threshold(Decoder& decoder, const StrategySpec& spec,
                                const CalibrationPrompts& data);

// The same for a strategy whose sets do not depend on the input and whose mean grows with
// `parameter`, here of skip_decode its expected_length: found by bisection over [lowest, highest]
// on the lengths of `data`, prompts with the tokens that `full` makes of them, without a pass of
// the model. A whole number where one is within 1 % of K, else to a thousandth.
Calibration calibrate_length(const StrategySpec& spec, const std::string& parameter, int num_layers,
                             std::span<const ScoreRequest> data, int64_t lowest, int64_t highest);

// The similarities and norm ratios that adaskip needs, measured on `data` (prompts with the tokens
// that `full` makes of them), and the share of its steps that come late: `realised_budget` is the
// mean that the strategy then has on its lengths. `on_pass` is called after each batch.
Calibration calibrate_adaskip(Model& model, const StrategySpec& spec,
                              std::span<const ScoreRequest> data, int64_t batch_size,
                              const std::function<void()>& on_pass = {});

}  // namespace skipbench
