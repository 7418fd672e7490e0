// How sure a speedup is: an interval from the repetitions of a timing, which are few.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace skipbench {

inline constexpr int64_t kLeastRepetitions = 3;  // fewer give no interval

struct RatioInterval {
  double mean = 0;           // geometric mean of the ratios
  double low = 0, high = 0;  // the 95 % interval's ends
};

// The 95 % interval of the ratio of two speeds that were measured in turns: `speeds` and
// `reference`, both [repetitions], positive, entry r of both from repetition r. The logarithms of
// the paired ratios d_r = log(speeds[r] / reference[r]) get Student's interval for a mean, mean(d)
// +- t(0.975, n - 1) sd(d) / sqrt(n), and its ends are raised to e. Pairs, since a slow stretch of
// the machine hits both speeds of a repetition; logarithms, since a ratio and its inverse are then
// treated alike (Fleming and Wallace, CACM 29(3), 1986); t, as for fewer than 30 measurements in
// Georges, Buytaert and Eeckhout, "Statistically rigorous Java performance evaluation", OOPSLA
// 2007. (A percentile bootstrap of three ratios reaches at most from the least to the most, which
// hold their median between them in 75 % of cases.)
// It takes the d_r for independent and about normal. Nothing for fewer than kLeastRepetitions.
// Throws Error for speeds of different lengths and one that is not positive and finite.
std::optional<RatioInterval> ratio_interval(std::span<const double> speeds,
                                            std::span<const double> reference);

// t with P(|T| <= t) = `share` for Student's distribution with `degrees` (at least 1) degrees of
// freedom, 0 <= share < 1.
double two_sided_t(double share, int64_t degrees);

}  // namespace skipbench
