// Metrics of responses when results files are joined.
#pragma once

#include <cstdint>
#include <string>

#include "eval/store/database.h"

namespace skipbench {

// Brings the responses of `from`, a cell of `input`, to `to`, a cell of `output`: those of each
// prefix whole, from the file that has more of them. Returns what differs where both have the same
// response; empty: nothing does.
std::string join_responses(Database& input, int64_t from, Database& output, int64_t to);

}  // namespace skipbench
