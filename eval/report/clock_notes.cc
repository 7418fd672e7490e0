#include "eval/report/clock_notes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <set>

#include "eval/telemetry/device_monitor.h"

namespace skipbench {
namespace {

// "unified 2x, batch 8", with the data set where there are several.
std::string timed_row_name(const TableRow& row, bool with_dataset) {
  return fmt::format("{} {:g}x{}, batch {}", row.strategy, row.target,
                     with_dataset ? ", " + row.dataset : "", row.batch.value_or(0));
}

}  // namespace

std::vector<std::string> clock_notes(const ResultTable& table) {
  std::map<std::vector<std::string>, std::vector<const TableRow*>> slowed;  // by reasons
  std::set<std::string> datasets;
  size_t timed = 0;
  for (const TableRow& row : table.rows) {
    datasets.insert(row.dataset);
    timed += row.decode_per_second ? 1 : 0;
    const auto words = clock_reason_words(row.clock_reasons.value_or(0));
    if (!words.empty()) slowed[words].push_back(&row);
  }
  std::vector<std::string> notes;
  for (const auto& [words, rows] : slowed) {
    std::vector<std::string> names;
    for (const TableRow* row : rows) names.push_back(timed_row_name(*row, datasets.size() > 1));
    notes.push_back(fmt::format(
        "The card lowered its clocks for: {}. It did while {}: their times are those of a slowed "
        "card.",
        fmt::join(words, "; "),
        rows.size() == timed ? "all rows were timed"
                             : fmt::format("these rows were timed ({})", fmt::join(names, "; "))));
  }
  return notes;
}

}  // namespace skipbench
