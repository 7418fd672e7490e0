#include <cmath>

#include "tests/reference/reference.h"

namespace skipbench::reference {

std::vector<Estimate> norm(NormKind kind, double epsilon, const NormWeights& weights,
                           const double* row, int64_t cols, int64_t steps) {
  double mean = 0;
  double magnitude = 0;  // of what the mean adds up
  for (int64_t i = 0; i < cols; ++i) {
    mean += row[i];
    magnitude += std::fabs(row[i]);
  }
  mean /= static_cast<double>(cols);
  magnitude /= static_cast<double>(cols);
  if (kind == NormKind::kRmsNorm) mean = magnitude = 0;
  double variance = 0;
  for (int64_t i = 0; i < cols; ++i) variance += (row[i] - mean) * (row[i] - mean);
  variance /= static_cast<double>(cols);
  const double factor = 1 / std::sqrt(variance + epsilon);

  // The mean is wrong by steps * u * magnitude; the factor, being a root, by half of the relative
  // error of a sum of squares whose terms are each wrong by a few u and by the mean's error.
  const double mean_error = static_cast<double>(steps + 1) * kUnit * magnitude;
  const double factor_error =
      0.5 * static_cast<double>(steps + 8) * kUnit + 2 * mean_error * factor;
  std::vector<Estimate> out(cols);
  for (int64_t i = 0; i < cols; ++i) {
    const double bias = weights.bias.empty() ? 0.0 : weights.bias[i];
    const double gain = weights.gain[i];
    const double scaled = (row[i] - mean) * factor * gain;
    out[i].value = scaled + bias;
    out[i].error = mean_error * factor * std::fabs(gain) +
                   std::fabs(scaled) * (factor_error + 6 * kUnit) + std::fabs(bias) * kUnit;
  }
  return out;
}

}  // namespace skipbench::reference
