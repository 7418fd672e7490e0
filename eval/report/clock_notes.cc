#include "eval/report/clock_notes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "eval/telemetry/device_monitor.h"

namespace skipbench {
namespace {

// "unified 2x, batch 8", with the data set where there are several.
std::string timed_row_name(const TableRow& row, bool with_dataset) {
  return fmt::format("{} {:g}x{}, batch {}", row.strategy, row.target,
                     with_dataset ? ", " + row.dataset : "", row.batch.value_or(0));
}

// "all rows were timed", or which of them.
std::string timed_rows_text(const ResultTable& table, const std::vector<const TableRow*>& rows) {
  std::set<std::string> datasets;
  size_t timed = 0;
  for (const TableRow& row : table.rows) {
    datasets.insert(row.dataset);
    timed += row.decode_per_second ? 1 : 0;
  }
  if (rows.size() == timed) return "all rows were timed";
  std::vector<std::string> names;
  for (const TableRow* row : rows) names.push_back(timed_row_name(*row, datasets.size() > 1));
  return fmt::format("these rows were timed ({})", fmt::join(names, "; "));
}

}  // namespace

std::vector<std::string> clock_notes(const ResultTable& table) {
  std::map<std::vector<std::string>, std::vector<const TableRow*>> slowed;  // by reasons
  for (const TableRow& row : table.rows) {
    const auto words = clock_reason_words(row.clock_reasons.value_or(0));
    if (!words.empty()) slowed[words].push_back(&row);
  }
  std::vector<std::string> notes;
  for (const auto& [words, rows] : slowed) {
    notes.push_back(fmt::format(
        "The card lowered its clocks for: {}. It did while {}: their times are those of a slowed "
        "card.",
        fmt::join(words, "; "), timed_rows_text(table, rows)));
  }
  return notes;
}

std::vector<std::string> foreign_process_notes(const ResultTable& table) {
  std::vector<const TableRow*> shared;
  std::optional<int64_t> most, bytes;
  for (const TableRow& row : table.rows) {
    if (row.foreign_processes.value_or(0) == 0) continue;
    shared.push_back(&row);
    most = std::max(most, row.foreign_processes);
    bytes = std::max(bytes, row.foreign_memory_bytes);
  }
  if (shared.empty()) return {};
  return {fmt::format(
      "Other processes computed on the card: up to {}{}. They were there while {}: their times "
      "and J/token may hold the work of those.",
      *most,
      bytes ? fmt::format(", with up to {:.1f} MiB of its memory",
                          static_cast<double>(*bytes) / (1 << 20))
            : "",
      timed_rows_text(table, shared))};
}

}  // namespace skipbench
