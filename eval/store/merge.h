// Several results files of one sweep, made on several machines, as one.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/store/database.h"

namespace skipbench {

struct MergeSummary {
  int64_t cells = 0, done = 0;  // of the new file's table
};

// Writes `output`, a new file, with every run, cell and raw time of `inputs` and one more run whose
// table holds the cells of each input's latest run. Of one cell in several files the finished one
// is taken; finished ones must have the same tokens, texts, layers, scores and thresholds. Times
// are measurements: groups of all files are kept. Throws Error, listing what disagrees, and leaves
// nothing behind; StoreError for files that cannot be read or written.
MergeSummary merge_stores(std::span<const std::string> inputs, const std::string& output,
                          const std::string& command);

}  // namespace skipbench
