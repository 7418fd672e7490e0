// Rows that ran other numbers of layers than the reader of their target, or of their speed,
// expects.
#pragma once

#include <string>
#include <vector>

#include "eval/report/result_table.h"

namespace skipbench {

// Sentences, none where all is as expected. One for each direction: which rows ran, while they were
// scored, a mean number of layers per decoding step more than kBudgetTolerance away from the budget
// K of their target, with both numbers. Left out are rows without a budget (`full`, what drafts and
// checks, `layers` without a target) and those whose calibration says already that it is off
// target. And one for rows whose timed outputs ran other numbers of layers than the scored ones.
std::vector<std::string> layer_notes(const ResultTable& table);

}  // namespace skipbench
