// Outputs of every strategy for the same prompts, for reading side by side.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/report/result_table.h"

namespace skipbench {

struct SampleOutput {
  std::string name;  // "unified 2x"
  std::string text;
  double layers = 0;  // mean per decoding step
  bool is_baseline = false;
};

struct SampleExample {
  std::string dataset;
  int64_t index = 0;  // in the data set, from 0
  std::vector<std::string> references;
  std::vector<SampleOutput> outputs;  // in the table's order
};

// Up to `count` examples of each data set, spread evenly over those that any finished cell has
// outputs for: the same results file gives the same examples. `baseline`: a strategy of the table.
std::vector<SampleExample> sample_outputs(ResultStore& store, const ResultTable& table,
                                          int64_t count, const std::string& baseline);

}  // namespace skipbench
