#include "eval/report/holm.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "engine/base/error.h"

namespace skipbench {

std::vector<double> holm_adjusted(std::span<const double> p) {
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] >= 0 && p[i] <= 1) continue;  // so written that NaN is refused
    throw Error({.what = "not a p-value",
                 .where = fmt::format("test {}", i + 1),
                 .expected = "a number in [0, 1]",
                 .got = fmt::format("{}", p[i])});
  }
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size());
  double highest = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const auto left = static_cast<double>(order.size() - i);
    highest = std::max(highest, std::min(1.0, left * p[order[i]]));
    adjusted[order[i]] = highest;
  }
  return adjusted;
}

}  // namespace skipbench
