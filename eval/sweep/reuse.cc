#include "eval/sweep/reuse.h"

#include <optional>
#include <vector>

namespace skipbench {
namespace {

// Of the file's runs, the latest first; at the end none, for cells stored when a quality cell's
// identity had no build.
std::vector<std::optional<Build>> builds_in(ResultStore& store) {
  std::vector<std::optional<Build>> builds;
  Statement rows(store.database(),
                 "SELECT commit_hash, dirty_hash, compiler, flags, instruction_set, device_name"
                 " FROM runs GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY max(id) DESC");
  while (rows.step()) {
    builds.push_back(
        Build{rows.text(0), rows.text(1), rows.text(2), rows.text(3), rows.text(4), rows.text(5)});
  }
  builds.push_back(std::nullopt);
  return builds;
}

bool has_quality(ResultStore& store, const Cell& cell) {
  const auto stored = store.find_cell(cell.identity);
  return stored && stored->status == cell_status::kDone;
}

bool same_point(const Cell& a, const Cell& b) {
  return a.strategy == b.strategy && a.dataset == b.dataset && a.key.target == b.key.target;
}

}  // namespace

size_t take_over_quality(ResultStore& store, std::span<SweepSetup> variants, bool apply) {
  const std::vector<std::optional<Build>> builds = builds_in(store);
  size_t taken = 0;
  for (SweepSetup& setup : variants) {
    std::vector<Cell> cells = setup.cells;
    for (const std::optional<Build>& build : builds) {
      CellContext context = setup.context;
      context.quality_build = build;
      const std::vector<Cell> theirs = make_cells(setup.config, setup.inputs, context);
      for (size_t i = 0; i < cells.size(); ++i) {
        if (cells[i].key.kind != "quality" || cells[i].status != cell_status::kPending) continue;
        if (has_quality(store, cells[i]) || !has_quality(store, theirs[i])) continue;
        ++taken;
        // The point's cells follow one another, its quality first.
        for (size_t j = i; j < cells.size() && same_point(cells[j], cells[i]); ++j) {
          if (j > i && cells[j].key.kind == "quality") break;
          cells[j] = theirs[j];
        }
      }
    }
    if (apply) setup.cells = std::move(cells);
  }
  return taken;
}

}  // namespace skipbench
