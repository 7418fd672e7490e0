// Are the differences between strategies more than chance? Paired tests of stored outputs.
#pragma once

#include <string>

#include "eval/metrics/significance.h"
#include "eval/report/result_table.h"

namespace skipbench {

struct ComparisonOptions {
  PairedTest test = PairedTest::kBootstrap;
  std::string baseline = "full";  // a strategy's name in the table
  double alpha = 0.05;            // for what is marked as best
  bool shows_correction = false;  // p_holm is a usual column
  SignificanceSettings settings;
};

// Throws Error for a baseline that the table does not have.
void check_baseline(const ResultTable& table, const std::string& baseline);

// Fills, of every row that has outputs of its own, TableScore::low and high; TableScore::p_value,
// of each strategy against the baseline on the same data set (at its own target where it has
// several: the baseline then needs a cell at that target), or TableScore::untested;
// TableScore::p_holm and tests, of the family of all tests of that score on that data set (as the
// table shows it: of one point of a matrix), one for each quality cell; and TableScore::best:
// better than each other cell of the same data set and target, with a paired test below alpha
// against every one of them. A score whose metric the run's configuration does not have any more
// stays without. Throws Error for a baseline that the table does not have.
void compare_strategies(ResultStore& store, ResultTable& table, const ComparisonOptions& options);

}  // namespace skipbench
