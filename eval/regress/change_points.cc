#include "eval/regress/change_points.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "eval/metrics/numpy_random.h"
#include "eval/regress/compare.h"

namespace skipbench {
namespace {

struct Split {
  size_t at = 0;
  double statistic = -1;
};

// The split with the largest energy distance between its two sides, scaled by n*m/(n + m). All
// splits from running sums of |x_i - x_j|: O(n^2).
Split best_split(std::span<const double> values, size_t min_size) {
  const size_t n = values.size();
  double within_left = 0, within_right = 0, between = 0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < i; ++j) within_right += std::abs(values[i] - values[j]);
  }
  Split best;
  for (size_t at = 1; at < n; ++at) {
    // values[at - 1] moves from the right to the left.
    double to_left = 0, to_right = 0;
    for (size_t j = 0; j + 1 < at; ++j) to_left += std::abs(values[at - 1] - values[j]);
    for (size_t j = at; j < n; ++j) to_right += std::abs(values[at - 1] - values[j]);
    within_left += to_left;
    within_right -= to_right;
    between += to_right - to_left;
    if (at < min_size || n - at < min_size) continue;
    const double left = static_cast<double>(at), right = static_cast<double>(n - at);
    // Means over distinct pairs.
    double energy = 2 * between / (left * right);
    if (at > 1) energy -= 2 * within_left / (left * (left - 1));
    if (n - at > 1) energy -= 2 * within_right / (right * (right - 1));
    const double statistic = energy * left * right / (left + right);
    if (statistic > best.statistic) best = {at, statistic};
  }
  return best;
}

void shuffle(NumpyRandom* random, std::span<double> values) {
  uint32_t at = 0;
  for (size_t i = values.size(); i > 1; --i) {
    random->choice(static_cast<uint32_t>(i), std::span(&at, 1));
    std::swap(values[i - 1], values[at]);
  }
}

}  // namespace

// Hierarchical: of all segments' best splits the strongest is tested by permuting the values within
// every segment; the first that is not significant ends the search.
std::vector<ChangePoint> find_change_points(std::span<const double> values,
                                            const ChangePointSettings& settings) {
  NumpyRandom random(settings.seed);
  const size_t min_size = std::max<size_t>(1, settings.min_size);
  std::vector<size_t> bounds = {0, values.size()};
  std::vector<ChangePoint> found;
  const auto strongest = [&](std::span<const double> all) {
    Split best;
    for (size_t s = 0; s + 1 < bounds.size(); ++s) {
      const size_t begin = bounds[s], length = bounds[s + 1] - begin;
      if (length < 2 * min_size) continue;
      const Split split = best_split(all.subspan(begin, length), min_size);
      if (split.statistic > best.statistic) best = {begin + split.at, split.statistic};
    }
    return best;
  };
  while (true) {
    const Split best = strongest(values);
    if (best.statistic <= 0) break;
    int as_large = 0;
    std::vector<double> permuted(values.begin(), values.end());
    for (int i = 0; i < settings.permutations; ++i) {
      for (size_t s = 0; s + 1 < bounds.size(); ++s) {
        shuffle(&random, std::span(permuted).subspan(bounds[s], bounds[s + 1] - bounds[s]));
      }
      if (strongest(permuted).statistic >= best.statistic) ++as_large;
    }
    const double p = (as_large + 1.0) / (settings.permutations + 1.0);
    if (p > settings.alpha) break;
    found.push_back({.index = best.at, .p_value = p});
    bounds.insert(std::upper_bound(bounds.begin(), bounds.end(), best.at), best.at);
  }
  std::sort(found.begin(), found.end(),
            [](const ChangePoint& a, const ChangePoint& b) { return a.index < b.index; });
  for (size_t i = 0; i < found.size(); ++i) {
    const auto segment = [&](size_t s) {
      return values.subspan(bounds[s], bounds[s + 1] - bounds[s]);
    };
    found[i].before = median(segment(i));
    found[i].after = median(segment(i + 1));
  }
  return found;
}

}  // namespace skipbench
