#include "eval/regress/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "engine/base/error.h"
#include "eval/regress/rank_test.h"

namespace skipbench {
namespace {

// Large-sample variance of the Hodges-Lehmann shift against that of the mean, and of the rank test
// against the t-test, for normal noise (Lehmann 1975).
constexpr double kRankEfficiency = 3 / std::numbers::pi;
constexpr double kDeviationPerMad = 1.4826;  // of a normal distribution

// z with P(Z > z) = tail, by bisection: erfc is monotone.
double upper_quantile(double tail) {
  double low = -10, high = 10;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(middle / std::numbers::sqrt2) > tail ? low : high) = middle;
  }
  return low;
}

// With fewer values a side not even complete separation is as unlikely as alpha.
int fewest_runs(double alpha) {
  int n = 1;
  for (double ways = 2; 1 / ways > alpha; ++n) {
    ways *= static_cast<double>((2 * n + 1) * (2 * n + 2)) / static_cast<double>((n + 1) * (n + 1));
  }
  return n;
}

void check_fraction(const char* what, double value, double below) {
  if (value > 0 && value < below) return;
  throw Error({.what = "number out of range",
               .where = what,
               .expected = fmt::format("above 0 and below {:g}", below),
               .got = fmt::format("{:g}", value)});
}

// Median of candidate / baseline over all pairs (Hodges and Lehmann 1963, for ratios).
double shift_ratio(std::span<const double> baseline, std::span<const double> candidate) {
  std::vector<double> ratios;
  for (const double before : baseline) {
    for (const double after : candidate) ratios.push_back(after / before);
  }
  return median(ratios);
}

}  // namespace

double median(std::span<const double> values) {
  if (values.empty()) throw Error({.what = "the median of no value"});
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

double relative_noise(std::span<const double> values) {
  if (values.size() < 2) return 0;
  const double center = median(values);
  std::vector<double> distances;
  for (const double value : values) distances.push_back(std::abs(value - center));
  return kDeviationPerMad * median(distances) / center;
}

int runs_needed(double noise, const RegressSettings& settings) {
  check_fraction("--min-effect", settings.min_effect, 1);
  check_fraction("--alpha", settings.alpha, 0.5);
  check_fraction("--power", settings.power, 1);
  if (!(settings.detect > settings.min_effect && settings.detect < 1)) {
    throw Error({.what = "the slowdown to find must exceed the smallest that matters",
                 .where = "--detect",
                 .expected = fmt::format("above {:g} and below 1", settings.min_effect),
                 .got = fmt::format("{:g}", settings.detect)});
  }
  // Both the rank test and the estimate's distance from min_effect may miss: half the risk each.
  const double z_power = upper_quantile((1 - settings.power) / 2);
  const double z_alpha = upper_quantile(settings.alpha);
  const double by_test = noise * (z_alpha + z_power) / settings.detect;
  const double by_effect = noise * z_power / (settings.detect - settings.min_effect);
  const double runs = 2 / kRankEfficiency * std::pow(std::max(by_test, by_effect), 2);
  return std::max(fewest_runs(settings.alpha), static_cast<int>(std::ceil(runs)));
}

Comparison compare_runs(std::span<const double> baseline, std::span<const double> candidate,
                        const RegressSettings& settings) {
  Comparison result;
  if (baseline.empty() || candidate.empty()) {
    result.runs_needed = runs_needed(0, settings);
    result.why = "one side has no run";
    return result;
  }
  for (const std::span<const double> side : {baseline, candidate}) {
    for (const double value : side) {
      if (std::isfinite(value) && value > 0) continue;
      throw Error({.what = "not a throughput", .got = fmt::format("{:g} tokens/s", value)});
    }
  }
  result.baseline = median(baseline);
  result.candidate = median(candidate);
  result.change = shift_ratio(baseline, candidate) - 1;
  result.noise = std::max(relative_noise(baseline), relative_noise(candidate));
  result.p_value = mann_whitney(baseline, candidate).p_less;
  result.runs_needed = runs_needed(result.noise, settings);
  const std::string measured = fmt::format("{:+.2f} % (p = {:.2g}, run-to-run noise {:.2f} %)",
                                           100 * result.change, result.p_value, 100 * result.noise);
  const int runs = static_cast<int>(std::min(baseline.size(), candidate.size()));
  if (result.p_value < settings.alpha && result.change <= -settings.min_effect) {
    result.verdict = Verdict::kRegression;
    result.why = "slower: " + measured;
  } else if (runs < result.runs_needed) {
    result.why = fmt::format(
        "{}; {} runs a side cannot rule out a slowdown of {:g} %: {} are needed at this noise",
        measured, runs, 100 * settings.detect, result.runs_needed);
  } else {
    result.verdict = Verdict::kNoRegression;
    result.why =
        fmt::format("{}: no slowdown of {:g} % or more", measured, 100 * settings.min_effect);
  }
  return result;
}

}  // namespace skipbench
