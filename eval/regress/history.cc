#include "eval/regress/history.h"

#include <fmt/format.h>

#include <algorithm>

namespace skipbench {

std::string run_name(const BenchRun& run) {
  return run.commit.empty() ? run.label : run.commit.substr(0, 10);
}

std::vector<SeriesHistory> history_of(std::span<const BenchRun> runs,
                                      const ChangePointSettings& settings) {
  std::vector<SeriesHistory> histories;
  for (const BenchRun& run : runs) {
    auto found = std::find_if(histories.begin(), histories.end(), [&](const SeriesHistory& one) {
      return one.series == run.series && one.machine == run.machine;
    });
    if (found == histories.end()) {
      histories.push_back({run.series, run.machine, {}, {}});
      found = histories.end() - 1;
    }
    found->runs.push_back(run);
  }
  for (SeriesHistory& history : histories) {
    std::vector<double> values;
    for (const BenchRun& run : history.runs) values.push_back(run.tokens_per_second);
    history.changes = find_change_points(values, settings);
  }
  return histories;
}

std::string history_text(std::span<const SeriesHistory> histories) {
  std::string text;
  for (const SeriesHistory& history : histories) {
    text += fmt::format("{}\n  on {}: {} runs, {} to {}\n", history.series, history.machine,
                        history.runs.size(), run_name(history.runs.front()),
                        run_name(history.runs.back()));
    for (const ChangePoint& change : history.changes) {
      text += fmt::format(
          "  {} at {} (run {}; before it {}): {:.2f} to {:.2f} tok/s, {:+.1f} %, p = {:.3f}\n",
          change.after < change.before ? "slower" : "faster", run_name(history.runs[change.index]),
          change.index + 1, run_name(history.runs[change.index - 1]), change.before, change.after,
          100 * (change.after / change.before - 1), change.p_value);
    }
    if (history.changes.empty()) text += "  no change found\n";
  }
  return text;
}

}  // namespace skipbench
