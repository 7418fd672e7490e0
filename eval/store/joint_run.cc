#include "eval/store/joint_run.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "eval/store/row_copy.h"
#include "eval/store/store.h"

namespace skipbench {
namespace {

// Of every point that a latest run lists: the run and ordinal of the best of its cells.
std::vector<std::tuple<int64_t, int64_t, bool>> joint_cells(Database& output,
                                                            std::span<const int64_t> latest) {
  std::vector<std::tuple<int64_t, int64_t, bool>> points;
  std::map<std::string, size_t> known;
  for (const int64_t run : latest) {
    Statement rows(output,
                   "SELECT r.ordinal, c.status, json_array(c.kind, r.strategy, r.target,"
                   " r.dataset, r.batch, r.variant) FROM run_cells r JOIN cells c ON"
                   " c.id = r.cell_id WHERE r.run_id = ? ORDER BY r.ordinal");
    rows.bind(run);
    while (rows.step()) {
      const bool done = rows.text(1) == cell_status::kDone;
      const auto [at, is_new] = known.emplace(rows.text(2), points.size());
      if (is_new) {
        points.emplace_back(run, rows.integer(0), done);
      } else if (done && !std::get<2>(points[at->second])) {
        points[at->second] = {run, rows.integer(0), true};
      }
    }
  }
  return points;
}

void add_point(Database& output, int64_t run, int64_t ordinal, int64_t source_run,
               int64_t source_ordinal) {
  for (const char* table : {"run_cells", "run_scores"}) {
    Statement rows(output, fmt::format("SELECT * FROM {} WHERE run_id = ? AND ordinal = ?", table));
    rows.bind(source_run, source_ordinal);
    while (rows.step()) copy_row(rows, output, table, {{"run_id", run}, {"ordinal", ordinal}});
  }
}

void add_joint_variants(Database& output, std::span<const int64_t> latest, int64_t run) {
  std::set<std::string> known;
  int64_t position = 0;
  for (const int64_t source : latest) {
    Statement rows(output, "SELECT * FROM run_variants WHERE run_id = ? ORDER BY position");
    rows.bind(source);
    while (rows.step()) {
      if (!known.insert(rows.text(rows.index("variant"))).second) continue;
      copy_row(rows, output, "run_variants", {{"run_id", run}, {"position", position++}});
    }
  }
}

}  // namespace

MergeSummary add_joint_run(Database& output, std::span<const int64_t> latest,
                           const std::string& command) {
  Statement last(output, "SELECT * FROM runs WHERE id = ?");
  last.bind(latest.front()).step();
  const int64_t run = copy_row(last, output, "runs", {{"id", std::nullopt}});
  Statement(output,
            "UPDATE runs SET command = ?, started = ?, ended = ?, state = 'merged' WHERE id = ?")
      .bind(command, utc_now(), utc_now(), run)
      .run();
  const auto points = joint_cells(output, latest);
  MergeSummary summary;
  for (const auto& [source_run, source_ordinal, done] : points) {
    add_point(output, run, summary.cells++, source_run, source_ordinal);
    summary.done += done ? 1 : 0;
  }
  add_joint_variants(output, latest, run);
  return summary;
}

}  // namespace skipbench
