#include "eval/store/joint_run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "eval/store/cell_settings.h"
#include "eval/store/external_scores.h"
#include "eval/store/row_copy.h"
#include "eval/store/store.h"

namespace skipbench {
namespace {

constexpr size_t kShownPoints = 10;

struct JointPoint {
  int64_t run = 0, ordinal = 0, cell = 0;
  bool done = false;
};

// "unified 2x, de-en, batch 8 (timing): model, machine" of two finished cells that are one point.
std::string point_conflict(Database& output, int64_t run, int64_t ordinal, int64_t other_cell) {
  Statement point(output,
                  "SELECT r.strategy || ' ' || r.target || 'x, ' || r.dataset || ', batch ' ||"
                  " r.batch || ' (' || c.kind || ')', c.id FROM run_cells r JOIN cells c ON"
                  " c.id = r.cell_id WHERE r.run_id = ? AND r.ordinal = ?");
  point.bind(run, ordinal).step();
  Statement settings(output,
                     "SELECT x.resolved, y.resolved FROM cells x, cells y WHERE x.id = ?"
                     " AND y.id = ?");
  settings.bind(other_cell, point.integer(1)).step();
  return fmt::format("{}: {}", point.text(0),
                     fmt::join(differing_settings(settings.text(0), settings.text(1)), ", "));
}

// Finished cells of one strategy, target and data set that were calibrated apart: their rows would
// pair one threshold's quality with another one's speed.
void check_calibrations(Database& output, std::span<const JointPoint> points,
                        std::vector<std::string>& conflicts) {
  std::map<std::string, std::string> known;
  for (const JointPoint& point : points) {
    if (!point.done) continue;
    Statement row(output,
                  "SELECT r.strategy || ' ' || r.target || 'x, ' || r.dataset ||"
                  " iif(r.variant = '', '', ', ' || r.variant),"
                  " coalesce(c.resolved ->> '$.calibration', '') FROM run_cells r JOIN cells c ON"
                  " c.id = r.cell_id WHERE r.run_id = ? AND r.ordinal = ?");
    row.bind(point.run, point.ordinal).step();
    const auto [at, is_new] = known.emplace(row.text(0), row.text(1));
    if (is_new || at->second == row.text(1)) continue;
    conflicts.push_back(at->first + ": calibration, between its quality and its speeds");
    at->second = row.text(1);
  }
}

// Of every point that a latest run lists the best of its cells. Throws Error where two are
// finished: a table has room for one.
std::vector<JointPoint> joint_cells(Database& output, std::span<const int64_t> latest) {
  std::vector<JointPoint> points;
  std::map<std::string, size_t> known;
  std::vector<std::string> conflicts;
  for (const int64_t run : latest) {
    Statement rows(output,
                   "SELECT r.ordinal, c.status, json_array(c.kind, r.strategy, r.target,"
                   " r.dataset, r.batch, r.variant), c.id FROM run_cells r JOIN cells c ON"
                   " c.id = r.cell_id WHERE r.run_id = ? ORDER BY r.ordinal");
    rows.bind(run);
    while (rows.step()) {
      const JointPoint point{run, rows.integer(0), rows.integer(3),
                             rows.text(1) == cell_status::kDone};
      const auto [at, is_new] = known.emplace(rows.text(2), points.size());
      if (is_new) {
        points.push_back(point);
        continue;
      }
      JointPoint& first = points[at->second];
      if (point.done && first.done && point.cell != first.cell) {
        conflicts.push_back(point_conflict(output, run, point.ordinal, first.cell));
      }
      if (point.done && !first.done) first = point;
    }
  }
  check_calibrations(output, points, conflicts);
  if (conflicts.empty()) return points;
  std::string text;
  for (size_t i = 0; i < std::min(conflicts.size(), kShownPoints); ++i)
    text += "\n  " + conflicts[i];
  if (conflicts.size() > kShownPoints) {
    text += fmt::format("\n  and {} more", conflicts.size() - kShownPoints);
  }
  throw Error({.what = "two files have finished a point under different settings (named after it), "
                       "nothing was written:" +
                       text,
               .hint = "\nmerge joins the parts of one sweep: give what is another one another "
                       "`label`, or look at the files side by side with two tables"});
}

void add_point(Database& output, int64_t run, int64_t ordinal, int64_t source_run,
               int64_t source_ordinal) {
  for (const char* table : {"run_cells", "run_scores"}) {
    Statement rows(output, fmt::format("SELECT * FROM {} WHERE run_id = ? AND ordinal = ?", table));
    rows.bind(source_run, source_ordinal);
    while (rows.step()) copy_row(rows, output, table, {{"run_id", run}, {"ordinal", ordinal}});
  }
}

// What `rescore` added to the cell in another of the joined runs.
void add_external_scores(Database& output, std::span<const int64_t> latest, int64_t run,
                         int64_t ordinal, int64_t cell) {
  for (const int64_t source : latest) {
    Statement rows(output,
                   "SELECT s.signature FROM run_scores s JOIN run_cells c ON c.run_id = s.run_id"
                   " AND c.ordinal = s.ordinal JOIN external_metrics e ON"
                   " e.signature = s.signature WHERE s.run_id = ? AND c.cell_id = ?");
    rows.bind(source, cell);
    while (rows.step()) ask_for_external_score(output, run, ordinal, rows.text(0));
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
  for (const JointPoint& point : points) {
    const int64_t ordinal = summary.cells++;
    add_point(output, run, ordinal, point.run, point.ordinal);
    add_external_scores(output, latest, run, ordinal, point.cell);
    summary.done += point.done ? 1 : 0;
  }
  add_joint_variants(output, latest, run);
  return summary;
}

}  // namespace skipbench
