// A results table as text.
#pragma once

#include <string>
#include <vector>

#include "eval/report/layout.h"
#include "eval/report/result_table.h"

namespace skipbench {

// `format`: md (rounded, one table per data set, with definitions and provenance below), latex
// (for booktabs), csv or json (exact; json has the fields of every row whatever the layout's
// columns). Throws Error for another format and for what `layout` cannot be.
std::string render_table(const ResultTable& table, const std::string& format,
                         const TableLayout& layout = {});

// What stands below the tables: "COLUMN: what it is".
std::vector<std::string> column_definitions(const ResultTable& table, const TableLayout& layout);

}  // namespace skipbench
