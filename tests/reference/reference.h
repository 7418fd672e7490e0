// The operations of engine/backend.h again, as plain loops in double precision, written from their
// definitions: what the kernels of every device are compared with. Slow and obvious on purpose.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend.h"

namespace skipbench::reference {

// A result with a bound of the error that f32 arithmetic in any order may make of it.
struct Estimate {
  double value = 0;
  double error = 0;
};

constexpr double kUnit = 0x1p-24;  // unit roundoff of f32

// [rows, cols], row after row.
struct DoubleMatrix {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<double> values;

  DoubleMatrix() = default;
  DoubleMatrix(int64_t r, int64_t c) : rows(r), cols(c), values(r * c) {}
  double& at(int64_t r, int64_t c) { return values[r * cols + c]; }
  double at(int64_t r, int64_t c) const { return values[r * cols + c]; }
  double* row(int64_t r) { return values.data() + r * cols; }
  const double* row(int64_t r) const { return values.data() + r * cols; }
};

// Element `index` of an array of a plain type (f32, f16, bf16).
double element(DType type, const void* data, int64_t index);

// A weight as the value that its definition in engine/base/dtype.h gives it, rounded to f32.
double weight_element(const Weight& weight, int64_t row, int64_t col);
DoubleMatrix to_double(const Weight& weight);
DoubleMatrix to_double(const Matrix& matrix);

// Error of rounding `value` (of magnitude up to |value|) to an activation type.
double rounding_error(DType type, double value);

// --- norm ---------------------------------------------------------------------------------------

// One row, [cols]. The estimates' errors allow sums of `steps` additions in f32.
std::vector<Estimate> norm(NormKind kind, double epsilon, const NormWeights& weights,
                           const double* row, int64_t cols, int64_t steps);

// --- linear -------------------------------------------------------------------------------------

double activate(Activation activation, double x);

// The whole of LinearArgs for one row: `in` [k], `residual` [n] or null. `steps` is the number of
// additions that a sum of k products goes through in f32.
std::vector<Estimate> linear(const LinearArgs& args, const double* in, const double* residual,
                             int64_t steps);

// --- attention ----------------------------------------------------------------------------------

// RoPE of one head at `position`, in place; [head_dim].
void rotate(const RopeConfig& rope, int64_t head_dim, int64_t position, double* head);

// Slopes as transformers' build_alibi_tensor computes them, [num_heads].
std::vector<double> alibi_slopes(int num_heads);

// What one query head sees: keys and values [positions.size(), head_dim].
struct AttentionInput {
  const double* query = nullptr;  // [head_dim]
  DoubleMatrix keys;
  DoubleMatrix values;
  std::vector<int64_t> positions;
  int64_t own_position = 0;
  double scale = 1;
  double slope = 0;  // ALiBi's, 0 without
  DType weight_type = DType::kF32;  // to which a device rounds weights before the values
};

// [head_dim]; `steps` as in linear, for sums over the head's dimensions and over the positions.
std::vector<Estimate> attend(const AttentionInput& input, int64_t steps);

// --- softmax ------------------------------------------------------------------------------------

struct TokenReference {
  int32_t token = 0;
  double top_logit = 0;
  double second_logit = 0;
  double top_probability = 0;
  double second_probability = 0;
  double entropy = 0;
};

TokenReference next_token(const std::vector<double>& logits);
double log_prob(const std::vector<double>& logits, int64_t target);

}  // namespace skipbench::reference
