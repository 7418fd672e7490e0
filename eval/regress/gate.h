// The regression gate over `skipbench bench -o json`: which rows are runs of what, and the verdict.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/regress/compare.h"

namespace skipbench {

// One row of one bench process: the unit of replication.
struct BenchRun {
  std::string series;   // what was measured: model, types, test, strategy, target, batch
  std::string label;    // given when it was kept; empty: none
  std::string commit;   // build_commit
  std::string machine;  // device, GPU, CPU, instruction set, threads: speeds compare within one
  double tokens_per_second = 0;  // median of the process's repetitions
  // Of a card that says it: why the driver lowered its clocks, as far as that spoils a timing
  // (spoiling_clock_reasons), and its clocks, MHz, means at the ends of the run's batches.
  std::vector<std::string> slowdowns;
  std::optional<double> sm_clock_mhz, memory_clock_mhz;
  std::string driver;                        // "550.54.15"; empty: no card, or not known
  std::string gpu_uuid;                      // likewise
  std::string cuda_runtime, cublaslt;        // likewise
  std::optional<int64_t> foreign_processes;  // others on the card, the most at a batch
  std::string time;                          // when it was measured, as the row says it
};

// `text`: what bench or `export --to llama-bench` printed, or a history of JSON lines, one row
// each; several of them one after the other too. Rows of older versions, which name no GPU, are
// taken as they are. Throws Error naming `where` and the line for what is no such row.
std::vector<BenchRun> read_bench_runs(const std::string& text, const std::string& where);

// The same rows as lines of a history, with `label` among their fields. Throws as above.
std::string history_lines(const std::string& bench_json, const std::string& label,
                          const std::string& where);

struct SeriesVerdict {
  std::string series;
  Comparison comparison;
  bool is_refused = false;         // for the runs' conditions, which more runs would not mend
  std::vector<std::string> notes;  // sentences beside the verdict (condition_notes)
};

struct GateResult {
  Verdict verdict = Verdict::kCannotJudge;  // a regression anywhere, else any doubt, else none
  std::vector<SeriesVerdict> series;
  int runs_needed = 0;  // per side, the most that a series needs
};

// `baseline`, `candidate`: a label, or the beginning (at least 7 characters) of a commit. alpha is
// shared out among the series (Bonferroni). Runs of several machines, on a slowed card or at other
// clocks (conditions.h), or a baseline that itself changed its speed between its first and second
// half, cannot be judged. Another driver or card and foreign processes are noted. Throws Error for
// a name that no run has.
GateResult judge_runs(std::span<const BenchRun> runs, const std::string& baseline,
                      const std::string& candidate, const RegressSettings& settings);

struct AbSettings {
  RegressSettings regress;
  int pilot_runs = 10;  // per side, to measure the noise
  int max_runs = 60;    // per side, in one round
};

// Measures in turns (baseline, candidate, candidate, baseline, ...): a pilot, then as many runs as
// the noise asks for, and after a regression a second round of as many that must show it too. Stops
// early where the conditions of the runs forbid a verdict.
// `measure(is_candidate)` runs one fresh process. `say` gets a line about each step.
GateResult compare_in_turns(const std::function<std::vector<BenchRun>(bool is_candidate)>& measure,
                            const AbSettings& settings,
                            const std::function<void(const std::string&)>& say);

}  // namespace skipbench
