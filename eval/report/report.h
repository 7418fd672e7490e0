// A results file as one HTML page: tables, plots, outputs side by side, where all of it comes from.
#pragma once

#include <cstdint>
#include <string>

#include "eval/report/result_table.h"

namespace skipbench {

struct ReportOptions {
  int64_t samples = 5;            // examples per data set
  std::string baseline = "full";  // strategy that the outputs of the others are compared with
};

// The page holds no script and needs no other file: plots are data: addresses (drawn by gnuplot;
// without gnuplot the page says that they are missing). Every text from the results file is
// escaped.
std::string html_report(ResultStore& store, const ResultTable& table, const ReportOptions& options);

}  // namespace skipbench
