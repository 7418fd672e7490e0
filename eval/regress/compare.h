// The verdict of a throughput comparison. The unit is the run: a fresh process's median. Runs are
// compared by rank, and a difference counts only if it is both unlikely and large enough.
#pragma once

#include <span>
#include <string>

namespace skipbench {

struct RegressSettings {
  double min_effect = 0.03;  // smallest slowdown that matters, as a fraction of the baseline
  double detect = 0.05;      // slowdown that must be found; above min_effect
  double power = 0.95;       // with which probability
  double alpha = 0.01;       // chance of a false alarm accepted
};

enum class Verdict : int { kNoRegression = 0, kRegression = 1, kCannotJudge = 2 };

struct Comparison {
  Verdict verdict = Verdict::kCannotJudge;
  double baseline = 0, candidate = 0;  // medians
  double change = 0;                   // estimated candidate / baseline - 1: below 0 is slower
  double noise = 0;                    // run-to-run deviation as a fraction, the larger side's
  double p_value = 1;                  // one-sided, of the candidate being no slower
  int runs_needed = 0;                 // per side
  std::string why;                     // a sentence
};

// `baseline` and `candidate`: tokens per second, one value per run, higher is better.
// A regression is a Hodges-Lehmann estimate of the change of -min_effect or lower and a rank test
// below alpha. Without one, and with too few runs to have found a slowdown of `detect` at the
// measured noise, the verdict is kCannotJudge and `why` says how many runs are needed. Throws
// Error for values that are no throughput.
Comparison compare_runs(std::span<const double> baseline, std::span<const double> candidate,
                        const RegressSettings& settings);

// Runs per side to find a slowdown of `detect` with probability `power` at the false alarm rate
// alpha, for runs whose deviation is `noise` (a fraction): normal approximation with the rank
// statistics' efficiency of 3/pi. At least the number below which alpha cannot be reached at all.
// Throws Error for settings outside their range.
int runs_needed(double noise, const RegressSettings& settings);

// Deviation over the median, from the median absolute deviation, which one throttled run cannot
// spoil. 0 for fewer than two values.
double relative_noise(std::span<const double> values);

double median(std::span<const double> values);

}  // namespace skipbench
