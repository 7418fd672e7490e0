#include "eval/report/stored_runs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "engine/base/error.h"

namespace skipbench {

std::vector<StoredRun> stored_runs(Database& database) {
  Statement rows(database,
                 "SELECT id, started, command, (SELECT count(DISTINCT c.id) FROM run_cells r"
                 " JOIN cells c ON c.id = r.cell_id WHERE r.run_id = runs.id AND c.status = 'done')"
                 " FROM runs ORDER BY id");
  std::vector<StoredRun> runs;
  while (rows.step()) {
    runs.push_back({rows.integer(0), rows.text(1), rows.text(2), rows.integer(3)});
  }
  return runs;
}

std::string render_runs(const std::vector<StoredRun>& runs) {
  std::string text;
  for (const StoredRun& run : runs) {
    text += fmt::format("{}  {}  {} {}  {}\n", run.id, run.started, run.cells,
                        run.cells == 1 ? "cell" : "cells", run.command);
  }
  return text;
}

int64_t find_run(Database& database, std::optional<int64_t> wanted) {
  const std::vector<StoredRun> runs = stored_runs(database);
  if (runs.empty()) {
    throw Error({.what = "the results file holds no run", .where = database.path()});
  }
  if (!wanted) return runs.back().id;
  std::vector<int64_t> known;
  for (const StoredRun& run : runs) known.push_back(run.id);
  if (std::ranges::find(known, *wanted) != known.end()) return *wanted;
  throw Error({.what = "the results file has no such run",
               .where = "--run",
               .expected = fmt::format("{}", fmt::join(known, ", ")),
               .got = std::to_string(*wanted),
               .hint = fmt::format("`skipbench table {} --run list` says when and how each began",
                                   database.path())});
}

OtherCells other_cells(Database& database, int64_t shown) {
  Statement row(database,
                "SELECT count(DISTINCT r.run_id), count(DISTINCT r.cell_id), max(r.run_id)"
                " FROM run_cells r JOIN cells c ON c.id = r.cell_id"
                " WHERE r.run_id != ?1 AND c.status = 'done' AND NOT EXISTS"
                " (SELECT 1 FROM run_cells s WHERE s.run_id = ?1 AND s.cell_id = r.cell_id)");
  if (!row.bind(shown).step() || row.integer(0) == 0) return {};
  return {row.integer(0), row.integer(1), row.integer(2) < shown};
}

}  // namespace skipbench
