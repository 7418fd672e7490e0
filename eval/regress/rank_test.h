// Is one set of runs slower than another, without assuming how run times are distributed?
#pragma once

#include <cstdint>
#include <span>

namespace skipbench {

// Mann-Whitney's U (Mann and Whitney 1947).
struct RankTest {
  double u = 0;       // pairs (b, a) with b > a, ties count a half
  double p_less = 1;  // probability of so small a u, were both the same: small if b is below a
  double p_greater = 1;
  bool exact = false;  // counted over all orders; else normal with ties and continuity corrected
};

// Exact up to kExactRankTestSize values in all, ties included (all ways to split the pooled values
// are counted); the normal approximation beyond. Both sides need at least one value.
constexpr size_t kExactRankTestSize = 60;
RankTest mann_whitney(std::span<const double> a, std::span<const double> b);

}  // namespace skipbench
