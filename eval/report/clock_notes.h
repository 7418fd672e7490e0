// Rows that were timed while the card held its clocks down, or worked for others too.
#pragma once

#include <string>
#include <vector>

#include "eval/report/result_table.h"

namespace skipbench {

// One sentence for each set of reasons; none where no card said any.
std::vector<std::string> clock_notes(const ResultTable& table);

// A sentence on the rows that were timed while other processes computed on the card; none where
// there were none, or no card said any.
std::vector<std::string> foreign_process_notes(const ResultTable& table);

}  // namespace skipbench
