#include "eval/report/notes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

namespace skipbench {
namespace {

std::string build_text(const Provenance& from) {
  std::string text = from.commit.substr(0, 12);
  if (!from.dirty_hash.empty()) text += " + uncommitted changes " + from.dirty_hash;
  return text;
}

// Empty where decoding is greedy.
std::string sampling_note(const StoredConfig& config) {
  if (config.temperature == 0) return "";
  return fmt::format("Texts were drawn: temperature {}, {}, seed {}.", config.temperature,
                     config.top_k == 0 ? "all tokens" : fmt::format("top_k {}", config.top_k),
                     config.seed);
}

// Of each strategy whose exits are replayed, under the label and at the targets that the table
// shows.
std::vector<std::string> replay_notes(const StoredConfig& config) {
  std::vector<std::string> notes;
  for (const StoredStrategy& strategy : config.strategies) {
    if (strategy.depths.empty()) continue;
    notes.push_back(
        fmt::format("{} {:g}x: exit depths replayed from {}, not decided by confidence.",
                    strategy.label, fmt::join(strategy.targets, "x, "), strategy.depths));
  }
  return notes;
}

std::string peaks_text(double read_bytes_per_second, double flops_per_second) {
  return fmt::format("{:.2f} GB/s read, {:.1f} GFLOP/s", read_bytes_per_second / 1e9,
                     flops_per_second / 1e9);
}

bool is_run_of(const RunRecord& run, const Machine& machine) {
  const Provenance& from = run.provenance;
  return machine.is_same(
      {from.device, from.device_name, from.cpu, from.threads, from.instruction_set});
}

std::string machine_note(const MachineUse& use) {
  const Machine& machine = *use.machine;
  std::vector<std::string> parts;
  if (use.scored > 0) parts.push_back(fmt::format("scored {} cells", use.scored));
  if (use.timed > 0) {
    parts.push_back(fmt::format("timed {} ({})", use.timed, fmt::join(use.timings, "; ")));
  }
  std::string note = fmt::format("Device {} ({}) {}", machine.device, machine_name(machine),
                                 fmt::join(parts, ", "));
  if (machine.peak_read_bytes_per_second > 0) {
    note += "; measured peaks: " +
            peaks_text(machine.peak_read_bytes_per_second, machine.peak_flops_per_second);
  }
  return note + ".";
}

// Points of a matrix on several devices are meant to differ: what counts is one point, or one
// device, on several machines.
bool mixes_machines(const ResultTable& table, std::vector<size_t> TableRow::*where) {
  std::map<std::string, std::set<size_t>> by_variant, by_device;
  for (const TableRow& row : table.rows) {
    for (const size_t at : row.*where) {
      by_variant[row.variant].insert(at);
      by_device[table.machines[at].device].insert(at);
    }
  }
  const auto mixed = [](const auto& one) { return one.second.size() > 1; };
  return std::any_of(by_variant.begin(), by_variant.end(), mixed) ||
         std::any_of(by_device.begin(), by_device.end(), mixed);
}

}  // namespace

std::vector<MachineUse> machines_used(const ResultTable& table) {
  std::vector<MachineUse> used;
  const bool one_dataset = std::all_of(table.rows.begin(), table.rows.end(), [&](const auto& row) {
    return row.dataset == table.rows.front().dataset;
  });
  for (size_t i = 0; i < table.machines.size(); ++i) {
    MachineUse use{.index = i, .machine = &table.machines[i]};
    std::set<int64_t> scored;
    for (const TableRow& row : table.rows) {
      const auto here = [&](const std::vector<size_t>& where) {
        return std::find(where.begin(), where.end(), i) != where.end();
      };
      if (here(row.scored_on)) scored.insert(row.quality_cell);
      if (!here(row.timed_on)) continue;
      ++use.timed;
      std::string timing =
          fmt::format("{}batch {}", one_dataset ? "" : row.dataset + ", ", row.batch.value_or(0));
      if (std::find(use.timings.begin(), use.timings.end(), timing) == use.timings.end()) {
        use.timings.push_back(std::move(timing));
      }
    }
    use.scored = std::ssize(scored);
    if (use.scored + use.timed > 0) used.push_back(std::move(use));
  }
  return used;
}

std::vector<std::string> reading_notes(const ResultTable& table) {
  std::vector<std::string> notes;
  if (mixes_machines(table, &TableRow::timed_on)) {
    notes.push_back(
        "These rows were timed on different machines (below): their times and speeds are not "
        "comparable from one machine to another; each speedup is of one machine.");
  }
  if (mixes_machines(table, &TableRow::scored_on)) {
    notes.push_back(
        "These rows were scored on different machines (below): another device or instruction set "
        "adds in another order, which can turn a token.");
  }
  return notes;
}

std::vector<std::string> provenance_notes(const ResultTable& table) {
  const RunRecord& run = table.run;
  const Provenance& from = run.provenance;
  std::vector<std::string> notes;
  notes.push_back(fmt::format("Model {} ({} layers, {} activations and cache, hash {}).", run.model,
                              run.num_layers, table.config.dtype, run.model_hash.substr(0, 12)));
  for (const ResultStore::RunVariant& one : table.variants) {
    notes.push_back(fmt::format("{}: model {} ({} layers, {}, hash {}), device {} ({}).",
                                one.variant, one.model, one.num_layers, one.dtype,
                                one.model_hash.substr(0, 12), one.device, one.device_name));
  }
  const std::vector<MachineUse> used = machines_used(table);
  const bool is_runs_own = used.empty() || (used.size() == 1 && is_run_of(run, *used[0].machine));
  if (is_runs_own) {
    notes.push_back(fmt::format("Device {} ({}), {} threads{}, load {:.2f} at the start.",
                                from.device, from.device_name, from.threads,
                                from.instruction_set.empty() ? "" : ", " + from.instruction_set,
                                from.load_average));
  }
  if (const std::string draws = sampling_note(table.config); !draws.empty()) notes.push_back(draws);
  for (const std::string& note : replay_notes(table.config)) notes.push_back(note);
  if (is_runs_own && table.peak_read_bytes_per_second > 0) {
    notes.push_back("Measured peaks: " +
                    peaks_text(table.peak_read_bytes_per_second, table.peak_flops_per_second) +
                    ".");
  }
  if (!is_runs_own) {
    for (const MachineUse& use : used) notes.push_back(machine_note(use));
  }
  notes.push_back(fmt::format("Commit {}; {}; {}.", build_text(from), from.compiler, from.flags));
  for (const std::string& build : table.other_builds) {
    notes.push_back(fmt::format("Some cells were measured by another build: {}.", build));
  }
  notes.push_back(fmt::format("Started {} by `{}`.", table.started, run.command));
  return notes;
}

}  // namespace skipbench
