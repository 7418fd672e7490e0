// The tables of a results file and how older files are brought up to date.
#pragma once

#include "eval/store/database.h"

namespace skipbench {

// Brings the file to this program's version, one migration after another, each in a transaction.
// Throws StoreError for a newer file, for a database of another program and for a file whose tables
// are not those of its version.
void migrate(Database& database);

// The same checks without writing.
void check_is_ours(Database& database);

// Checks likewise; false for an older file. Throws StoreError for an empty one too.
bool is_current(Database& database);

// The file as an older program wrote it: up to `version` (tests).
void migrate_to(Database& database, int64_t version);
int64_t current_version();

}  // namespace skipbench
