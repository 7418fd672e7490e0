#include "eval/report/columns.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "eval/report/row_statistics.h"
#include "eval/telemetry/device_monitor.h"

namespace skipbench {
namespace {

using Text = std::optional<std::string>;
using Value = std::optional<double>;

template <typename T>
Text formatted(const std::optional<T>& value, const char* format) {
  if (!value) return std::nullopt;
  return fmt::format(fmt::runtime(format), *value);
}

Text non_empty(const std::string& text) { return text.empty() ? std::nullopt : Text(text); }

Value per_target(const TableRow& row) {
  if (!row.speedup || !has_target(row)) return std::nullopt;
  return *row.speedup / row.target;
}

Text layers_text(const TableRow& row) {
  if (!row.layers) return std::nullopt;
  return fmt::format("{:.2f} ± {:.2f}", row.layers->mean, row.layers->deviation);
}

// A set of layers that a calibration chose has its size by itself.
bool has_calibrated_budget(const TableRow& row) {
  return row.calibration && row.calibration->parameter != "order";
}

Text calibration_text(const TableRow& row) {
  if (!has_calibrated_budget(row)) return std::nullopt;
  const TableCalibration& found = *row.calibration;
  return fmt::format("{}{:.2f} of {:g}",
                     found.on_target ? "" : "off target: ", found.realised_budget, found.budget);
}

Text status_text(const TableRow& row) {
  return row.message.empty() ? row.status : row.status + ": " + row.message;
}

Value longest_run(const TableRow& row) {
  if (!row.longest_skipped_run) return std::nullopt;
  return static_cast<double>(*row.longest_skipped_run);
}

Value drafted(const TableRow& row) {
  if (!row.drafted) return std::nullopt;
  return static_cast<double>(*row.drafted);
}

Value accepted(const TableRow& row) {
  if (!row.accepted) return std::nullopt;
  return static_cast<double>(*row.accepted);
}

Value verify_calls(const TableRow& row) {
  if (!row.verify_calls) return std::nullopt;
  return static_cast<double>(*row.verify_calls);
}

Value acceptance(const TableRow& row) {
  if (!row.drafted || *row.drafted == 0) return std::nullopt;
  return static_cast<double>(*row.accepted) / static_cast<double>(*row.drafted);
}

Value as_value(const std::optional<int64_t>& number) {
  if (!number) return std::nullopt;
  return static_cast<double>(*number);
}

Text clock_reasons_text(const TableRow& row) {
  if (!row.clock_reasons) return std::nullopt;
  return fmt::format("{}", fmt::join(clock_reason_words(*row.clock_reasons), "; "));
}

Value batch(const TableRow& row) {
  if (!row.batch) return std::nullopt;
  return static_cast<double>(*row.batch);
}

}  // namespace

const std::vector<Column>& leading_columns() {
  static const std::vector<Column> columns = {
      {"strategy", "strategy", "", [](const TableRow& row) -> Text { return row.strategy; },
       nullptr},
      {"target", "target", "asked-for speedup s; the layer budget is K = max(2, floor(N/s))",
       [](const TableRow& row) { return formatted<double>(row.target, "{:g}"); },
       [](const TableRow& row) -> Value { return row.target; }},
      {"batch", "batch", "prompts decoded together when speed is measured",
       [](const TableRow& row) { return formatted(row.batch, "{}"); }, batch},
      {"layers", "layers",
       "layers run per decoding step in the scored outputs, counted: mean ± standard deviation "
       "over "
       "tokens",
       layers_text,
       [](const TableRow& row) -> Value {
         if (!row.layers) return std::nullopt;
         return row.layers->mean;
       }},
      {"longest skip", "longest_skipped_run",
       "most consecutive layers that a step skips; empty where it depends on the input",
       [](const TableRow& row) { return formatted(row.longest_skipped_run, "{}"); }, longest_run},
  };
  return columns;
}

const std::vector<Column>& trailing_columns() {
  static const std::vector<Column> columns = {
      {"total tok/s", "total_tokens_per_second",
       "prompt and output tokens over prefill and decode time, forced length; median of "
       "repetitions",
       [](const TableRow& row) { return formatted(row.total_per_second, "{:.1f}"); },
       [](const TableRow& row) { return row.total_per_second; }},
      {"decode tok/s", "decode_tokens_per_second",
       "tokens made by decoding steps over their time, forced length; median of repetitions",
       [](const TableRow& row) { return formatted(row.decode_per_second, "{:.1f}"); },
       [](const TableRow& row) { return row.decode_per_second; }},
      {"spread", "decode_spread",
       "(fastest - slowest) / median of the repetitions' decode tok/s; empty where there is one",
       [](const TableRow& row) -> Text {
         if (!row.decode_spread) return std::nullopt;
         return fmt::format("{:.1f}%", 100 * *row.decode_spread);
       },
       [](const TableRow& row) { return row.decode_spread; }},
      {"timed layers", "timed_layers", "layers run per decoding step in the timed outputs: mean",
       [](const TableRow& row) { return formatted(row.timed_layers, "{:.2f}"); },
       [](const TableRow& row) { return row.timed_layers; }},
      {"per text", "layers_per_text_deviation",
       "least and most of the texts' mean layers per step (as a number: their standard deviation)",
       [](const TableRow& row) -> Text {
         if (!row.layers) return std::nullopt;
         return fmt::format("{:.1f}-{:.1f}", row.layers->text_low, row.layers->text_high);
       },
       [](const TableRow& row) -> Value {
         if (!row.layers) return std::nullopt;
         return row.layers->text_deviation;
       }},
      {"in a batch", "layers_in_batch_range",
       "most less least of that among the rows of a batch, mean over batches",
       [](const TableRow& row) -> Text {
         if (!row.layers) return std::nullopt;
         return formatted(row.layers->in_batch, "{:.1f}");
       },
       [](const TableRow& row) -> Value {
         return row.layers ? row.layers->in_batch : std::nullopt;
       }},
      {"speedup", "speedup",
       "decode tok/s over that of `full`, measured side by side at the same batch size",
       [](const TableRow& row) -> Text {
         if (!row.speedup_deviation) return formatted(row.speedup, "{:.2f}");
         return fmt::format("{:.2f} ± {:.2f}", *row.speedup, *row.speedup_deviation);
       },
       [](const TableRow& row) { return row.speedup; }},
      {"total speedup", "total_speedup", "the same of total tok/s",
       [](const TableRow& row) { return formatted(row.total_speedup, "{:.2f}"); },
       [](const TableRow& row) { return row.total_speedup; }},
      {"paired speedup", "paired_speedup",
       "the repetitions' decode tok/s over `full`'s of the same repetition: geometric mean; empty "
       "below three repetitions. It and its interval can differ from column speedup, a ratio of "
       "medians",
       [](const TableRow& row) { return formatted(row.paired_speedup, "{:.2f}"); },
       [](const TableRow& row) { return row.paired_speedup; }, /*on_request=*/true},
      {"speedup low", "speedup_low", "low end of the 95 % interval of paired speedup",
       [](const TableRow& row) { return formatted(row.speedup_low, "{:.2f}"); },
       [](const TableRow& row) { return row.speedup_low; }, /*on_request=*/true},
      {"speedup high", "speedup_high", "high end of that interval",
       [](const TableRow& row) { return formatted(row.speedup_high, "{:.2f}"); },
       [](const TableRow& row) { return row.speedup_high; }, /*on_request=*/true},
      {"paired total speedup", "paired_total_speedup", "paired speedup of total tok/s",
       [](const TableRow& row) { return formatted(row.paired_total_speedup, "{:.2f}"); },
       [](const TableRow& row) { return row.paired_total_speedup; }, /*on_request=*/true},
      {"total speedup low", "total_speedup_low",
       "low end of the 95 % interval of paired total speedup",
       [](const TableRow& row) { return formatted(row.total_speedup_low, "{:.2f}"); },
       [](const TableRow& row) { return row.total_speedup_low; }, /*on_request=*/true},
      {"total speedup high", "total_speedup_high", "high end of that interval",
       [](const TableRow& row) { return formatted(row.total_speedup_high, "{:.2f}"); },
       [](const TableRow& row) { return row.total_speedup_high; }, /*on_request=*/true},
      {"speedup/target", "speedup_per_target",
       "share of the asked-for speedup that was achieved; empty where none was asked for",
       [](const TableRow& row) { return formatted(per_target(row), "{:.2f}"); }, per_target},
      {"bound", "bound",
       "speedup if each operation of a step, head and cache included, ran at the measured peak",
       [](const TableRow& row) { return formatted(row.bound, "{:.2f}"); },
       [](const TableRow& row) { return row.bound; }},
      {"calibrated", "calibrated_layers",
       "dynamic strategies: layers per step that the threshold reaches on the calibration split, "
       "of "
       "the budget; off target: more than 1 % away",
       calibration_text,
       [](const TableRow& row) -> Value {
         if (!has_calibrated_budget(row)) return std::nullopt;
         return row.calibration->realised_budget;
       }},
      {"exit tests", "exit_test_share",
       "share of the timed decode time that went into tests whether to exit (head, softmax, "
       "decision)",
       [](const TableRow& row) -> Text {
         if (!row.exit_test_share) return std::nullopt;
         return fmt::format("{:.1f}%", 100 * *row.exit_test_share);
       },
       [](const TableRow& row) { return row.exit_test_share; }, /*on_request=*/false,
       /*if_present=*/true},
      {"acceptance", "acceptance",
       "self_speculative: share of drafted tokens that the whole model would have made, scored "
       "outputs",
       [](const TableRow& row) -> Text {
         const Value share = acceptance(row);
         if (!share) return std::nullopt;
         return fmt::format("{:.1f}%", 100 * *share);
       },
       acceptance, /*on_request=*/false, /*if_present=*/true},
      {"drafted", "drafted", "tokens drafted for the scored outputs",
       [](const TableRow& row) { return formatted(row.drafted, "{}"); }, drafted,
       /*on_request=*/false, /*if_present=*/true},
      {"accepted", "accepted", "those of them that were kept",
       [](const TableRow& row) { return formatted(row.accepted, "{}"); }, accepted,
       /*on_request=*/false, /*if_present=*/true},
      {"verify calls", "verify_calls", "passes of the whole model over a text's draft",
       [](const TableRow& row) { return formatted(row.verify_calls, "{}"); }, verify_calls,
       /*on_request=*/false, /*if_present=*/true},
      {"memory saved", "memory_saved",
       "share of `full`'s weights, keys and values that the strategy does not need: counted, at "
       "the same batch size",
       [](const TableRow& row) -> Text {
         if (!row.memory_saved) return std::nullopt;
         return fmt::format("{:.1f}%", 100 * *row.memory_saved);
       },
       [](const TableRow& row) { return row.memory_saved; }, /*on_request=*/false,
       /*if_present=*/true},
      {"J/token", "joules_per_token",
       "energy over output tokens of the timed batches, prompts included: of the whole card, on a "
       "CPU of its packages",
       [](const TableRow& row) { return formatted(row.joules_per_token, "{:.3g}"); },
       [](const TableRow& row) { return row.joules_per_token; }, /*on_request=*/false,
       /*if_present=*/true},
      {"outputs differ", "output_difference",
       "share of timed prompts whose tokens differ from those at the first batch size",
       [](const TableRow& row) -> Text {
         if (!row.output_difference) return std::nullopt;
         return fmt::format("{:.0f}%", 100 * *row.output_difference);
       },
       [](const TableRow& row) { return row.output_difference; }},
      {"differ from full", "differs_from_full",
       "share of scored outputs whose text is not the one of `full` for the same prompt",
       [](const TableRow& row) -> Text {
         if (!row.differs_from_full) return std::nullopt;
         return fmt::format("{:.1f}%", 100 * *row.differs_from_full);
       },
       [](const TableRow& row) { return row.differs_from_full; }, /*on_request=*/true},
      {"first token ms", "first_token_ms",
       "time to the first token: the prefill of a timed batch, median",
       [](const TableRow& row) { return formatted(row.first_token_ms, "{:.2f}"); },
       [](const TableRow& row) { return row.first_token_ms; }, /*on_request=*/true},
      {"step p50 ms", "step_p50_ms", "decoding steps of the timed batches: their median time",
       [](const TableRow& row) { return formatted(row.step_p50_ms, "{:.2f}"); },
       [](const TableRow& row) { return row.step_p50_ms; }, /*on_request=*/true},
      {"step p90 ms", "step_p90_ms", "90 of 100 decoding steps take no longer",
       [](const TableRow& row) { return formatted(row.step_p90_ms, "{:.2f}"); },
       [](const TableRow& row) { return row.step_p90_ms; }, /*on_request=*/true},
      {"step p95 ms", "step_p95_ms", "95 of 100 decoding steps take no longer",
       [](const TableRow& row) { return formatted(row.step_p95_ms, "{:.2f}"); },
       [](const TableRow& row) { return row.step_p95_ms; }, /*on_request=*/true},
      {"step p99 ms", "step_p99_ms", "99 of 100 decoding steps take no longer",
       [](const TableRow& row) { return formatted(row.step_p99_ms, "{:.2f}"); },
       [](const TableRow& row) { return row.step_p99_ms; }, /*on_request=*/true},
      {"cache MiB", "cache_mib", "memory of keys and values of a timed batch, the largest",
       [](const TableRow& row) { return formatted(row.cache_mib, "{:.2f}"); },
       [](const TableRow& row) { return row.cache_mib; }, /*on_request=*/true},
      {"needed MiB", "needed_mib",
       "the weights that the strategy's passes read and the column cache MiB: counted from shapes; "
       "no activations",
       [](const TableRow& row) { return formatted(row.needed_mib, "{:.2f}"); },
       [](const TableRow& row) { return row.needed_mib; }, /*on_request=*/true},
      {"peak MiB", "peak_memory_mib",
       "most memory at a timed batch, measured: what was allocated on the device, on a CPU what "
       "the process had in RAM. The strategies of a run share one process, so it is the run's need "
       "and no comparison of them",
       [](const TableRow& row) { return formatted(row.peak_memory_mib, "{:.1f}"); },
       [](const TableRow& row) { return row.peak_memory_mib; }, /*on_request=*/true},
      {"SM MHz", "sm_clock_mhz", "the card's SM clock at the end of the timed batches, mean",
       [](const TableRow& row) { return formatted(row.sm_clock_mhz, "{:.0f}"); },
       [](const TableRow& row) { return row.sm_clock_mhz; }, /*on_request=*/true},
      {"memory MHz", "memory_clock_mhz", "its memory clock likewise",
       [](const TableRow& row) { return formatted(row.memory_clock_mhz, "{:.0f}"); },
       [](const TableRow& row) { return row.memory_clock_mhz; }, /*on_request=*/true},
      {"°C", "temperature_c", "its highest temperature at the end of a timed batch",
       [](const TableRow& row) { return formatted(row.temperature_c, "{:.0f}"); },
       [](const TableRow& row) { return row.temperature_c; }, /*on_request=*/true},
      {"W", "power_watts", "the whole card's power at the end of the timed batches, mean",
       [](const TableRow& row) { return formatted(row.power_watts, "{:.0f}"); },
       [](const TableRow& row) { return row.power_watts; }, /*on_request=*/true},
      {"foreign processes", "foreign_processes",
       "most other processes that computed on the card before or after a timed batch",
       [](const TableRow& row) { return formatted(row.foreign_processes, "{}"); },
       [](const TableRow& row) { return as_value(row.foreign_processes); }, /*on_request=*/true},
      {"clocks lowered for", "clock_reasons",
       "what kept the card's clocks low at the beginning or end of a timed batch; empty: nothing, "
       "or not known",
       clock_reasons_text, nullptr, /*on_request=*/true},
      {"natural decode tok/s", "natural_decode_tokens_per_second",
       "tokens made by decoding steps over their time while the scored outputs were decoded: at "
       "their natural length, in the batch of column natural batch, once and not in turns with "
       "`full` (a speed to know, not to compare)",
       [](const TableRow& row) { return formatted(row.natural_decode_per_second, "{:.1f}"); },
       [](const TableRow& row) { return row.natural_decode_per_second; }, /*on_request=*/true},
      {"natural batch", "natural_batch", "prompts decoded together for the scored outputs, at most",
       [](const TableRow& row) { return formatted(row.natural_batch, "{:g}"); },
       [](const TableRow& row) { return row.natural_batch; }, /*on_request=*/true},
      {"adapter", "adapter",
       "folder of the LoRA adapter that was merged into the model; empty: none",
       [](const TableRow& row) { return non_empty(row.adapter); }, nullptr, /*on_request=*/true},
      {"weights", "weights", "types of the matrices that the row ran on",
       [](const TableRow& row) { return non_empty(row.weights); }, nullptr, /*on_request=*/true},
      {"machine", "machine", "what timed the row or, where nothing is timed, scored it",
       [](const TableRow& row) { return non_empty(row.machine); }, nullptr, /*on_request=*/true},
      {"status", "status", "", status_text, nullptr},
  };
  return columns;
}

}  // namespace skipbench
