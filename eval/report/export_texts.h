// Scored outputs of a results file as text files, which `skipbench score` and other tools read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/store/store.h"

namespace skipbench {

struct TextsExport {
  int64_t files = 0;                  // with outputs
  int64_t line_breaks = 0;            // in outputs and references, written as a blank each
  int64_t repeated_references = 0;    // where an example has fewer than another
  std::vector<std::string> left_out;  // cells that are not done: "unified 2x, de-en: failed"
};

// Of the cells that `run` (default: the latest) asked for: in `folder` for each data set (and point
// of a matrix) a folder with `reference.txt` (where there are several reference.0.txt,
// reference.1.txt, ...) and a file for each strategy and target, an output per line in the data
// set's order; `index.json` says which file is what (docs/file-formats.md). Throws Error for a
// folder that holds something, StoreError for a file without a scored cell.
TextsExport export_texts(ResultStore& store, const std::string& folder,
                         std::optional<int64_t> run = std::nullopt);

}  // namespace skipbench
