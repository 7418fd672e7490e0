#include <cmath>

#include "tests/reference/reference.h"

namespace skipbench::reference {
namespace {

constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kSqrtTwoOverPi = 0.79788456080286535588;

// Output row `index` of the projection's parts, bias included.
Estimate output(const Projection& projection, int64_t index, const std::vector<Estimate>& x,
                int64_t steps) {
  int64_t row = index;
  const Weight* part = projection.parts.data();
  while (row >= part->rows) row -= (part++)->rows;
  double sum = 0;
  double magnitude = 0;
  double input_error = 0;
  for (int64_t i = 0; i < part->cols; ++i) {
    const double weight = weight_element(*part, row, i);
    sum += weight * x[i].value;
    magnitude += std::fabs(weight * x[i].value);
    input_error += std::fabs(weight) * x[i].error;
  }
  const double bias = projection.bias.empty() ? 0.0 : projection.bias[index];
  return {sum + bias,
          static_cast<double>(steps) * kUnit * (magnitude + std::fabs(bias)) + input_error * 1.001};
}

// The slope of every activation here stays below 1.13; sigmoid and exp in f32 are good to a few
// units, and the cubic's rounding enters through an argument that is at most about 100 where the
// result is not yet zero or the identity.
Estimate activate_estimate(Activation activation, Estimate x) {
  const double value = activate(activation, x.value);
  return {value, 1.13 * x.error + 16 * kUnit * (std::fabs(value) + std::fabs(x.value) * 0.3)};
}

}  // namespace

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(kSqrtTwoOverPi * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      return 0.5 * x * (1 + std::erf(x * kSqrtHalf));
  }
  return x;
}

std::vector<Estimate> linear(const LinearArgs& args, const double* in, const double* residual,
                             int64_t steps) {
  const Projection& projection = *args.projection;
  std::vector<Estimate> x(projection.cols());
  for (int64_t i = 0; i < projection.cols(); ++i) x[i] = {in[i], 0};
  if (args.norm.weights != nullptr) {
    x = norm(args.norm.kind, args.norm.epsilon, *args.norm.weights, in, projection.cols(), steps);
  }
  const bool gated = args.epilogue == Epilogue::kGated;
  const int64_t n = gated ? projection.rows() / 2 : projection.rows();
  std::vector<Estimate> out(n);
  for (int64_t o = 0; o < n; ++o) {
    Estimate y = output(projection, o, x, steps);
    if (args.epilogue != Epilogue::kNone) y = activate_estimate(args.activation, y);
    if (gated) {
      const Estimate up = output(projection, n + o, x, steps);
      const double value = y.value * up.value;
      y = {value, y.error * std::fabs(up.value) + up.error * std::fabs(y.value) +
                      y.error * up.error + kUnit * std::fabs(value)};
    }
    if (residual != nullptr) {
      y.value += residual[o];
      y.error += kUnit * (std::fabs(y.value) + y.error);
    }
    y.error += rounding_error(args.out.type, std::fabs(y.value) + y.error);
    out[o] = y;
  }
  return out;
}

}  // namespace skipbench::reference
