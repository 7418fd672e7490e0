// Numbers of a table's row that come from many: layers of many steps, and runs of many seeds.
#pragma once

#include <span>

#include "eval/report/result_table.h"

namespace skipbench {

// Decoding steps only, as counted.
LayerStatistics layer_statistics(std::span<const OutputRecord> outputs);

// Rows that the run's configuration groups (`seeds`) become one at the place of the first, with the
// means of their numbers and the standard deviation (n - 1) of scores and speedup. One that is not
// done keeps the others' row from being made: it then shows that one's status.
void fold_seeds(ResultTable& table);

// Whether a speedup was asked for, so that what was achieved is a share of it: not of a strategy
// that runs the same layers at every target, where none was given for it. `full` is asked for 1.
bool has_target(const TableRow& row);

}  // namespace skipbench
