// The columns of a results table: one list for Markdown, CSV, JSON and the definitions below it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eval/report/result_table.h"

namespace skipbench {

struct Column {
  std::string name;        // in Markdown
  std::string key;         // in CSV and JSON
  std::string definition;  // one sentence; empty: its name says it
  // For Markdown, rounded. Nothing: not known for this row.
  std::optional<std::string> (*text)(const TableRow& row);
  std::optional<double> (*value)(const TableRow& row);  // exact; null for columns of text
  bool on_request = false;  // in Markdown and LaTeX only where --columns names it
  bool if_present = false;  // there only where a row has a value, or --columns names it
};

// Before and after the columns of scores, which depend on the data set's metrics.
const std::vector<Column>& leading_columns();
const std::vector<Column>& trailing_columns();

}  // namespace skipbench
