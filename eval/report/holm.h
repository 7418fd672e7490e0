// Correction of p-values for the number of tests among which they are read.
#pragma once

#include <span>
#include <vector>

namespace skipbench {

// Holm's step-down procedure: S. Holm, "A simple sequentially rejective multiple test procedure",
// Scandinavian Journal of Statistics 6 (1979), 65-70, as adjusted p-values. The m tests in
// ascending order of p: the i-th (from 0) gets max over j <= i of min(1, (m - j) p_j). Rejecting
// where the adjusted p is below alpha keeps the chance of any false rejection among the m below
// alpha, however the tests depend on each other. R's p.adjust(p, "holm") gives the same numbers.
// `p`: [m], each in [0, 1]; returns [m] in the order of `p`. Throws Error for another value.
std::vector<double> holm_adjusted(std::span<const double> p);

}  // namespace skipbench
