// Rows that were timed while the card held its clocks down.
#pragma once

#include <string>
#include <vector>

#include "eval/report/result_table.h"

namespace skipbench {

// One sentence for each set of reasons; none where no card said any.
std::vector<std::string> clock_notes(const ResultTable& table);

}  // namespace skipbench
