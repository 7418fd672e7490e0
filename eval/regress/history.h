// Throughput over commits: where did it change?
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/regress/change_points.h"
#include "eval/regress/gate.h"

namespace skipbench {

// The runs of one series on one machine, in the history's order, and their change points.
struct SeriesHistory {
  std::string series, machine;
  std::vector<BenchRun> runs;
  std::vector<ChangePoint> changes;
};

// In the order in which they first appear. Runs of different machines are never one series. The
// history's order must be that of the commits.
std::vector<SeriesHistory> history_of(std::span<const BenchRun> runs,
                                      const ChangePointSettings& settings);

// Lines of text: for each series its runs, and for each change the commits around it, the medians
// before and after, and its p-value.
std::string history_text(std::span<const SeriesHistory> histories);

// "0123456789", or the label where there is no commit.
std::string run_name(const BenchRun& run);

}  // namespace skipbench
