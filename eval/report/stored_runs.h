// The runs that a results file holds, of which a table shows one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/store/database.h"

namespace skipbench {

struct StoredRun {
  int64_t id = 0;
  std::string started, command;
  int64_t cells = 0;  // that it asked for and that are done
};

// In the order in which they were begun.
std::vector<StoredRun> stored_runs(Database& database);

// A line each: number, start, cells that are done, command.
std::string render_runs(const std::vector<StoredRun>& runs);

// The number of the run asked for, or of the latest. Throws Error for a number that the file does
// not have, and where it has no run.
int64_t find_run(Database& database, std::optional<int64_t> wanted);

// What else stands in the file beside the cells of run `shown`: cells that are done and that it did
// not ask for, and the runs that did.
struct OtherCells {
  int64_t runs = 0, cells = 0;
  bool all_earlier = true;  // these runs
};
OtherCells other_cells(Database& database, int64_t shown);

}  // namespace skipbench
