#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/reference/reference.h"

namespace skipbench::reference {

void rotate(const RopeConfig& rope, int64_t head_dim, int64_t position, double* head) {
  const auto pairs = static_cast<int64_t>(rope.inverse_frequencies.size());
  if (2 * pairs > head_dim) return;
  for (int64_t i = 0; i < pairs; ++i) {
    const int64_t first = rope.interleaved ? 2 * i : i;
    const int64_t second = rope.interleaved ? 2 * i + 1 : i + pairs;
    const double angle = static_cast<double>(position) * rope.inverse_frequencies[i];
    const double c = std::cos(angle) * rope.attention_factor;
    const double s = std::sin(angle) * rope.attention_factor;
    const double a = head[first];
    const double b = head[second];
    head[first] = a * c - b * s;
    head[second] = a * s + b * c;
  }
}

// As in transformers/models/bloom/modeling_bloom.py: powers of one base for the first heads, odd
// powers of a second base for those beyond the largest power of two.
std::vector<double> alibi_slopes(int num_heads) {
  const double closest = std::pow(2.0, std::floor(std::log2(num_heads)));
  std::vector<double> slopes;
  const double base = std::pow(2.0, -std::pow(2.0, -(std::log2(closest) - 3)));
  for (int power = 1; power <= closest; ++power) slopes.push_back(std::pow(base, power));
  if (closest != num_heads) {
    const double extra = std::pow(2.0, -std::pow(2.0, -(std::log2(2 * closest) - 3)));
    const double remaining = std::min(closest, num_heads - closest);
    for (int power = 1; power < 1 + 2 * remaining; power += 2) {
      slopes.push_back(std::pow(extra, power));
    }
  }
  return slopes;
}

std::vector<Estimate> attend(const AttentionInput& input, int64_t steps) {
  const int64_t dim = input.keys.cols;
  const auto count = static_cast<int64_t>(input.positions.size());
  std::vector<double> score(count);
  double score_error = 0;  // largest absolute error of a score in f32
  double top = -std::numeric_limits<double>::infinity();
  for (int64_t p = 0; p < count; ++p) {
    double magnitude = 0;
    for (int64_t i = 0; i < dim; ++i) {
      score[p] += input.query[i] * input.keys.at(p, i);
      magnitude += std::fabs(input.query[i] * input.keys.at(p, i));
    }
    const double bias = input.slope * static_cast<double>(input.positions[p] - input.own_position);
    score[p] = score[p] * input.scale + bias;
    score_error = std::max(score_error, static_cast<double>(steps + 4) * kUnit *
                                            (magnitude * std::fabs(input.scale) + std::fabs(bias)));
    top = std::max(top, score[p]);
  }
  double sum = 0;
  for (double& s : score) sum += s = std::exp(s - top);
  // A weight's relative error: twice the score's, exp's own, and that of the sum of weights.
  const double weight_error = 2.01 * score_error * 2 + static_cast<double>(2 * steps + 16) * kUnit;
  std::vector<Estimate> out(dim);
  for (int64_t i = 0; i < dim; ++i) {
    double magnitude = 0;
    double rounding = 0;
    for (int64_t p = 0; p < count; ++p) {
      const double value = std::fabs(input.values.at(p, i)) / sum;
      out[i].value += score[p] / sum * input.values.at(p, i);
      magnitude += score[p] * value;
      rounding += rounding_error(input.weight_type, score[p]) * value;
    }
    // Weights below the smallest normal number may vanish; each is less than 1e-37 of the top's.
    out[i].error = weight_error * magnitude + rounding + 1e-30;
  }
  return out;
}

}  // namespace skipbench::reference
