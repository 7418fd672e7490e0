#include "eval/report/speed_interval.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "engine/base/error.h"

namespace skipbench {
namespace {

constexpr double kIntervalShare = 0.95;
constexpr int kHalvings = 200;  // of a bisection, more than a double has bits

// P(|T| <= t), the finite series for whole degrees of freedom: Abramowitz and Stegun, Handbook of
// Mathematical Functions, 26.7.3 (odd) and 26.7.4 (even).
double two_sided_share(double t, int64_t degrees) {
  const double angle = std::atan(t / std::sqrt(static_cast<double>(degrees)));
  const double sine = std::sin(angle), cosine = std::cos(angle);
  const bool is_odd = degrees % 2 == 1;
  double term = is_odd ? cosine : 1.0, sum = 0;
  for (int64_t power = is_odd ? 1 : 0; power <= degrees - 2; power += 2) {
    sum += term;
    term *= cosine * cosine * static_cast<double>(power + 1) / static_cast<double>(power + 2);
  }
  return is_odd ? 2 / std::numbers::pi * (angle + sine * sum) : sine * sum;
}

double checked_log(std::span<const double> speeds, size_t repetition) {
  const double speed = speeds[repetition];
  if (speed > 0 && std::isfinite(speed)) return std::log(speed);
  throw Error({.what = "not a speed",
               .where = fmt::format("repetition {}", repetition),
               .expected = "a positive number",
               .got = fmt::format("{}", speed)});
}

}  // namespace

double two_sided_t(double share, int64_t degrees) {
  double low = 0, high = 1;
  while (two_sided_share(high, degrees) < share) high *= 2;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    (two_sided_share(middle, degrees) < share ? low : high) = middle;
  }
  return (low + high) / 2;
}

std::optional<RatioInterval> ratio_interval(std::span<const double> speeds,
                                            std::span<const double> reference) {
  if (speeds.size() != reference.size()) {
    throw Error({.what = "speeds of different numbers of repetitions",
                 .expected = fmt::format("{}", reference.size()),
                 .got = fmt::format("{}", speeds.size())});
  }
  if (std::ssize(speeds) < kLeastRepetitions) return std::nullopt;
  const auto count = static_cast<double>(speeds.size());
  std::vector<double> logs;
  double mean = 0;
  for (size_t r = 0; r < speeds.size(); ++r) {
    logs.push_back(checked_log(speeds, r) - checked_log(reference, r));
    mean += logs.back() / count;
  }
  double squares = 0;
  for (const double one : logs) squares += (one - mean) * (one - mean);
  const double error = std::sqrt(squares / (count - 1) / count);
  const double half_width = two_sided_t(kIntervalShare, std::ssize(speeds) - 1) * error;
  return RatioInterval{std::exp(mean), std::exp(mean - half_width), std::exp(mean + half_width)};
}

}  // namespace skipbench
