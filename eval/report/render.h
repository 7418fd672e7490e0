// A results table as text.
#pragma once

#include <string>

#include "eval/report/result_table.h"

namespace skipbench {

// `format`: md (rounded, one table per data set, with definitions and provenance below), csv or
// json (exact). Throws Error for another format.
std::string render_table(const ResultTable& table, const std::string& format);

}  // namespace skipbench
