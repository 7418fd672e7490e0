// The table of a merged results file.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "eval/store/database.h"
#include "eval/store/merge.h"

namespace skipbench {

// Adds a run to `output` whose table holds the points of all runs `latest` (ids, at least one); of
// a point that several list, the finished cell. Throws Error where two cells of one are finished.
// `command` is what the run says made it.
MergeSummary add_joint_run(Database& output, std::span<const int64_t> latest,
                           const std::string& command);

}  // namespace skipbench
