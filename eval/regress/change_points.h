// Where in a history of measurements did something change? E-divisive with medians of nothing but
// distances (Matteson and James 2014, https://arxiv.org/abs/1306.4933), as in MongoDB's and
// Hunter's performance tests.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace skipbench {

struct ChangePointSettings {
  double alpha = 0.01;
  int permutations = 999;
  size_t min_size = 3;  // values on each side of a change
  uint32_t seed = 12345;
};

struct ChangePoint {
  size_t index = 0;  // the first value after the change
  double p_value = 1;
  double before = 0, after = 0;  // medians of the two neighbouring segments
};

// In order of index. The same values and seed give the same points.
std::vector<ChangePoint> find_change_points(std::span<const double> values,
                                            const ChangePointSettings& settings);

}  // namespace skipbench
