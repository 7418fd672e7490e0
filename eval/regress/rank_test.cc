#include "eval/regress/rank_test.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/base/error.h"

namespace skipbench {
namespace {

// Twice the midranks of the pooled values, a's first: whole numbers.
std::vector<int64_t> double_ranks(std::span<const double> a, std::span<const double> b,
                                  double* tie_term) {
  std::vector<double> pooled(a.begin(), a.end());
  pooled.insert(pooled.end(), b.begin(), b.end());
  std::vector<double> sorted = pooled;
  std::sort(sorted.begin(), sorted.end());
  std::vector<int64_t> ranks;
  for (const double value : pooled) {
    const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), value);
    // The mean of ranks first + 1 to last, doubled.
    ranks.push_back((first - sorted.begin()) + 1 + (last - sorted.begin()));
  }
  *tie_term = 0;
  for (auto first = sorted.begin(); first != sorted.end();) {
    const auto last = std::upper_bound(first, sorted.end(), *first);
    const double n = static_cast<double>(last - first);
    *tie_term += n * n * n - n;
    first = last;
  }
  return ranks;
}

// Counts, over all choices of n_b of the pooled ranks, those with a rank sum of at most and at
// least `observed`. ways[k][s]: choices of k ranks with sum s; doubles hold C(60, 30) well.
void count_orders(std::span<const int64_t> ranks, size_t n_b, int64_t observed, RankTest* test) {
  int64_t total = 0;
  for (const int64_t rank : ranks) total += rank;
  std::vector<std::vector<double>> ways(n_b + 1, std::vector<double>(total + 1, 0.0));
  ways[0][0] = 1;
  for (const int64_t rank : ranks) {
    for (size_t k = n_b; k >= 1; --k) {
      for (int64_t sum = total; sum >= rank; --sum) ways[k][sum] += ways[k - 1][sum - rank];
    }
  }
  double all = 0, at_most = 0, at_least = 0;
  for (int64_t sum = 0; sum <= total; ++sum) {
    all += ways[n_b][sum];
    if (sum <= observed) at_most += ways[n_b][sum];
    if (sum >= observed) at_least += ways[n_b][sum];
  }
  test->p_less = at_most / all;
  test->p_greater = at_least / all;
  test->exact = true;
}

double normal_upper_tail(double z) { return 0.5 * std::erfc(z / std::sqrt(2.0)); }

}  // namespace

RankTest mann_whitney(std::span<const double> a, std::span<const double> b) {
  if (a.empty() || b.empty()) throw Error({.what = "a rank test needs values on both sides"});
  double tie_term = 0;
  const std::vector<int64_t> ranks = double_ranks(a, b, &tie_term);
  int64_t rank_sum = 0;
  for (size_t i = a.size(); i < ranks.size(); ++i) rank_sum += ranks[i];
  const double n_a = static_cast<double>(a.size()), n_b = static_cast<double>(b.size());
  RankTest test{.u = rank_sum / 2.0 - n_b * (n_b + 1) / 2};
  if (ranks.size() <= kExactRankTestSize) {
    count_orders(ranks, b.size(), rank_sum, &test);
    return test;
  }
  const double n = n_a + n_b;
  const double variance = n_a * n_b / 12 * (n + 1 - tie_term / (n * (n - 1)));
  if (variance <= 0) return test;  // all values equal
  const double distance = test.u - n_a * n_b / 2, deviation = std::sqrt(variance);
  test.p_greater = std::min(1.0, normal_upper_tail((distance - 0.5) / deviation));
  test.p_less = std::min(1.0, normal_upper_tail((-distance - 0.5) / deviation));
  return test;
}

}  // namespace skipbench
