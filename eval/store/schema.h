// The tables of a results file and how older files are brought up to date.
#pragma once

#include "eval/store/database.h"

namespace skipbench {

// Brings the file to this program's version, one migration after another, each in a transaction.
// Throws StoreError for a newer file and for a database of another program.
void migrate(Database& database);

// The same checks without writing; an older file is refused with the way to bring it up to date.
void check_version(Database& database);

}  // namespace skipbench
