// A results file as the table of a paper: every number computed from raw outputs and times.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/probe/divergence.h"
#include "eval/report/machines.h"
#include "eval/report/stored_config.h"
#include "eval/report/stored_runs.h"
#include "eval/store/store.h"

namespace skipbench {

struct TableScore {
  std::string name;       // "BLEU", "ROUGE-L"
  std::string signature;  // "BLEU|nrefs:1|..."
  double value = 0;
  std::optional<double> deviation;  // over seeds
  // Where compare_strategies was asked (eval/report/comparison.h).
  std::optional<double> p_value;
  std::optional<double> p_holm;  // p_value corrected for the `tests` of its family
  int64_t tests = 0;
  std::optional<double> low, high;  // 95 % of resamples lie between
  bool best = false;
  bool higher_is_better = true;
  std::string untested;  // why p_value is missing, where a test against the baseline was asked for
};

// Layers per decoding step: over all steps, over texts' means, and over the rows of a batch.
struct LayerStatistics {
  double mean = 0;
  double deviation = 0;  // over steps
  double text_low = 0;   // least and most of the texts' means
  double text_high = 0;
  double text_deviation = 0;       // of the texts' means
  std::optional<double> in_batch;  // most - least of a batch's rows, mean over batches of several
};

struct TableCalibration {
  std::string parameter;  // what was found: threshold, order, expected_length
  std::string value;      // of others than the threshold
  double threshold = 0;
  double budget = 0;  // K
  double realised_budget = 0;
  bool on_target = false;
};

// One strategy at one target, dataset and batch size.
struct TableRow {
  std::string strategy;
  std::string strategy_name;  // in the registry; empty: the file does not say
  int64_t seeds = 1;          // more: means over runs that differ in their seed alone
  double target = 1;
  std::string dataset;           // as shown: with the point of the run's matrix, if it has several
  std::string data_name;         // in the configuration
  std::string variant;           // "dtype=f16, seed=2"; empty: the run has no matrix
  std::optional<int64_t> batch;  // none: not timed
  std::string status;            // of the worst of its cells
  std::string message;
  int64_t quality_cell = 0;  // id in the results file
  // The weights that it ran on. An older version noted no folder and no types: there an adapter has
  // the configuration's pattern for a name.
  bool has_adapter = false;
  std::string adapter;        // folder; empty: none
  std::string weights;        // "f16", "q4_1 210 tensors, q8_0 1"; empty: not known
  bool is_untrained = false;  // its paper trains for skipping, and this row has no adapter
  // Where its cells were measured, as indices into ResultTable::machines; several: over seeds.
  std::vector<size_t> scored_on, timed_on;
  std::string machine;  // the name of the one that timed it, else of the one that scored it

  std::optional<LayerStatistics> layers;  // quality outputs
  std::optional<int64_t> longest_skipped_run;
  std::vector<TableScore> scores;
  std::optional<TableCalibration> calibration;

  std::optional<double> timed_layers;       // mean per decoding step of the timed outputs
  std::optional<double> total_per_second;   // prompt and output tokens
  std::optional<double> decode_per_second;  // tokens of decoding steps
  std::optional<double> decode_spread;      // (max - min) / median over repetitions, if several
  std::optional<double> speedup;            // decode, against `full` of the same group
  std::optional<double> speedup_deviation;  // over seeds
  std::optional<double> total_speedup;      // total, likewise
  // Geometric means over the repetitions of their pairs with `full`'s, and the 95 % intervals of
  // these (speed_interval.h); none of `full` itself and of means over seeds.
  std::optional<double> paired_speedup, paired_total_speedup;
  std::optional<double> speedup_low, speedup_high, total_speedup_low, total_speedup_high;
  std::optional<double> bound;
  std::optional<double> first_token_ms;  // median of the timed batches' prefills
  // Over decoding steps of the timed batches.
  std::optional<double> step_p50_ms, step_p90_ms, step_p95_ms, step_p99_ms;
  std::optional<double> exit_test_share;  // of the timed batches' decode time; none: no tests
  // Of the scored outputs, and the rows of their largest batch: never measured side by side.
  std::optional<double> natural_decode_per_second, natural_batch;
  std::optional<double> cache_mib;  // the largest timed batch's
  // Counted: the weights that its passes read, and cache_mib; and the share of `full`'s that it
  // does not need.
  std::optional<double> needed_mib, memory_saved;
  // Measured at the timed batches, where the machine says it (eval/telemetry/batch_meter.h): energy
  // over output tokens, the highest peak, means of the clocks and the power, the highest
  // temperature; and the bits of the reasons for lower clocks, of all batches together.
  std::optional<double> joules_per_token, peak_memory_mib;
  std::optional<double> sm_clock_mhz, memory_clock_mhz, temperature_c, power_watts;
  std::optional<int64_t> clock_reasons;
  // Likewise the most of other processes on the card, and of its memory that they held.
  std::optional<int64_t> foreign_processes, foreign_memory_bytes;
  // Of the scored outputs, under a strategy that drafts: a check is a pass of the whole model over
  // a row's draft.
  std::optional<int64_t> drafted, accepted, verify_calls;
  // Means over decoding steps of the cosine and the ratio of norms of the hidden state after each
  // layer with the full model's, where metrics of responses were measured.
  std::vector<double> layer_cosine, layer_norm_ratio;  // [N], or empty
  std::vector<StepSums>
      steps;  // what they are means of; entry 0 the prefill's, which is not in them
  std::optional<double> output_difference;  // share of prompts, against the first batch size
  // Share of the scored outputs whose text is another than `full`'s for the same prompt.
  std::optional<double> differs_from_full;
};

struct ResultTable {
  std::vector<TableRow> rows;
  // Where the numbers come from: the run's that is shown, and the commits of other runs among its
  // cells.
  int64_t run_id = 0;
  RunRecord run;
  OtherCells other_cells;
  StoredConfig config;  // run.config, read
  std::string started;
  std::string weights;  // types of the model without adapter; empty: not known
  double peak_read_bytes_per_second = 0, peak_flops_per_second = 0;
  std::vector<Machine> machines;  // of all cells that are done
  std::vector<std::string> other_builds;
  std::vector<ResultStore::RunVariant> variants;  // of a run with a matrix
  std::string comparison;                         // how p-values were found; empty: not asked
  std::string interval;                           // likewise of low and high
  std::string correction;                         // likewise of p_holm
  bool shows_correction = false;  // in Markdown, LaTeX and HTML, without being named
};

// The cells that run `run` asked for, by default the latest. Throws Error for a results file
// without such a run.
ResultTable load_result_table(ResultStore& store, std::optional<int64_t> run = std::nullopt);

}  // namespace skipbench
