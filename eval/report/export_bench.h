// Timings of a results file in formats that existing tools read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "eval/store/store.h"

namespace skipbench {

// The timed cells of `run` (default: the latest). "llama-bench": a list of rows as `skipbench bench
// -o json` prints them, two of each cell (prompt processing, and decoding after it), with the data
// set and the point of a matrix added; `history` and `regress` read it. "google-benchmark": an
// entry per repetition for compare.py, whose time is that of all batches of the repetition. Throws
// Error for another format and for a file without timings.
std::string export_timings(ResultStore& store, const std::string& format,
                           std::optional<int64_t> run = std::nullopt);

}  // namespace skipbench
