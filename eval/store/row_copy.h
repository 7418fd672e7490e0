// Rows of one results file written into another.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "eval/store/database.h"

namespace skipbench {

// Columns of a row that get another value, null where there is none.
using Replaced = std::map<std::string, std::optional<int64_t>>;

// Inserts the row that `from` stands at into `table`, whose columns have the same names; those that
// `replaced` names get its values. Returns the new row's id.
int64_t copy_row(Statement& from, Database& output, const std::string& table,
                 const Replaced& replaced);

}  // namespace skipbench
