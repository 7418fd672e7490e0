#include "eval/report/notes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "eval/report/clock_notes.h"
#include "eval/report/layer_notes.h"

namespace skipbench {
namespace {

std::string build_text(const Provenance& from) {
  std::string text = from.commit.substr(0, 12);
  if (!from.dirty_hash.empty()) text += " + uncommitted changes " + from.dirty_hash;
  return text;
}

// Empty where decoding is greedy. A matrix may have numbers of beams: its points say them.
std::string decoding_note(const ResultTable& table) {
  const StoredConfig& config = table.config;
  if (config.beams > 1 && table.variants.empty()) {
    return fmt::format(
        "Texts are those of a beam search: {} beams, length penalty {:g}, early stopping {}{}.",
        config.beams, config.length_penalty, config.early_stopping,
        config.no_repeat_ngram == 0
            ? ""
            : fmt::format(", no n-gram of {} tokens twice", config.no_repeat_ngram));
  }
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

// "30 layers, f16 weights, f32 activations and cache, hash 0123456789ab".
std::string model_text(int num_layers, const std::string& weights, const std::string& dtype,
                       const std::string& hash) {
  const bool one_type = !weights.empty() && weights.find(' ') == std::string::npos;
  std::string text = fmt::format("{} layers, {}{} activations and cache, hash {}", num_layers,
                                 one_type ? weights + " weights, " : "", dtype, hash.substr(0, 12));
  if (!weights.empty() && !one_type) text += "; weights: " + weights;
  return text;
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

bool is_one_dataset(const ResultTable& table) {
  return std::ranges::all_of(
      table.rows, [&](const auto& row) { return row.dataset == table.rows.front().dataset; });
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

// Strategies whose rows `holds` is true of: "unified", or where it is true of some of its rows
// alone "unified 2x", or "unified 2x (adapter=none)".
template <typename Holds>
std::vector<std::string> strategies_of(const ResultTable& table, const Holds& holds) {
  std::vector<std::string> names;
  const auto all_of_rows = [&](const auto& are) {
    return std::all_of(table.rows.begin(), table.rows.end(), [&](const TableRow& other) {
      return !are(other) || other.status == cell_status::kInvalid || holds(other);
    });
  };
  for (const TableRow& row : table.rows) {
    if (row.status == cell_status::kInvalid || !holds(row)) continue;
    std::string name = row.strategy;
    const auto of_label = [&](const TableRow& other) { return other.strategy == row.strategy; };
    const auto at_target = [&](const TableRow& other) {
      return of_label(other) && other.target == row.target;
    };
    if (!all_of_rows(of_label)) {
      name += fmt::format(" {:g}x", row.target);
      if (!all_of_rows(at_target)) {
        name += " (" + (row.variant.empty() ? row.dataset : row.variant) + ")";
      }
    }
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::vector<std::string> adapter_notes(const ResultTable& table) {
  std::vector<std::string> notes;
  const auto has = [](const TableRow& row) { return row.has_adapter; };
  const auto with = strategies_of(table, has);
  const auto without = strategies_of(table, [](const TableRow& row) { return !row.has_adapter; });
  if (!with.empty()) {
    notes.push_back(
        fmt::format("With a LoRA adapter merged into the weights: {}{}.", fmt::join(with, ", "),
                    without.empty() ? "" : fmt::format("; without: {}", fmt::join(without, ", "))));
  }
  const auto untrained = strategies_of(table, [](const TableRow& row) { return row.is_untrained; });
  if (!untrained.empty()) {
    notes.push_back(fmt::format(
        "{} {} and ran without an adapter here.", fmt::join(untrained, ", "),
        untrained.size() == 1 ? "is fine-tuned in its paper" : "are fine-tuned in their papers"));
  }
  return notes;
}

// The types that rows are compared with: `full`'s of the same data and point.
std::string full_weights(const ResultTable& table, const TableRow& row) {
  for (const TableRow& other : table.rows) {
    if (other.strategy_name == "full" && other.dataset == row.dataset) return other.weights;
  }
  for (const ResultStore::RunVariant& one : table.variants) {
    if (one.variant == row.variant) return one.weights;
  }
  return table.weights;
}

std::vector<std::string> weight_notes(const ResultTable& table) {
  std::vector<std::string> notes;
  for (const TableRow& row : table.rows) {
    const std::string usual = full_weights(table, row);
    if (row.weights.empty() || usual.empty() || row.weights == usual) continue;
    const auto alike = strategies_of(table, [&](const TableRow& other) {
      return other.weights == row.weights && full_weights(table, other) == usual;
    });
    std::string note =
        fmt::format("Weights of {}: {} (`full`: {}).", fmt::join(alike, ", "), row.weights, usual);
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  }
  return notes;
}

// Empty where the shown run asked for all that the file holds.
std::string other_runs_note(const OtherCells& others) {
  if (others.cells == 0) return "";
  return fmt::format(
      "{} {} of this file {} {} more {} (`table --run N` shows one, `--run list` names them).",
      others.runs,
      fmt::format("{} {}", others.all_earlier ? "earlier" : "other",
                  others.runs == 1 ? "run" : "runs"),
      others.runs == 1 ? "holds" : "hold", others.cells, others.cells == 1 ? "cell" : "cells");
}

// The names of scores that lack a p for the same reason and in the same rows stand together.
struct Untested {
  std::string reason;
  std::vector<std::string> scores, rows;
};

}  // namespace

std::vector<std::string> untested_notes(const ResultTable& table) {
  std::vector<Untested> all;
  std::set<std::pair<std::string, std::string>> known;  // name of a score and reason
  for (const TableRow& row : table.rows) {
    for (const TableScore& score : row.scores) {
      if (score.untested.empty() || !known.insert({score.name, score.untested}).second) continue;
      auto rows = strategies_of(table, [&](const TableRow& other) {
        return std::ranges::any_of(other.scores, [&](const TableScore& one) {
          return one.name == score.name && one.untested == score.untested;
        });
      });
      const auto same = std::ranges::find_if(all, [&](const Untested& one) {
        return one.reason == score.untested && one.rows == rows;
      });
      if (same != all.end()) {
        same->scores.push_back(score.name);
      } else {
        all.push_back({score.untested, {score.name}, std::move(rows)});
      }
    }
  }
  std::vector<std::string> notes;
  for (const Untested& one : all) {
    notes.push_back(fmt::format("No p of {} for {}: {}.", fmt::join(one.scores, ", "),
                                fmt::join(one.rows, ", "), one.reason));
  }
  return notes;
}

std::vector<MachineUse> machines_used(const ResultTable& table) {
  std::vector<MachineUse> used;
  const bool one_dataset = is_one_dataset(table);
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

std::vector<std::string> row_notes(const ResultTable& table) {
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
  for (std::string& note : clock_notes(table)) notes.push_back(std::move(note));
  for (std::string& note : foreign_process_notes(table)) notes.push_back(std::move(note));
  for (std::string& note : layer_notes(table)) notes.push_back(std::move(note));
  for (std::string& note : adapter_notes(table)) notes.push_back(std::move(note));
  for (std::string& note : weight_notes(table)) notes.push_back(std::move(note));
  return notes;
}

std::vector<std::string> reading_notes(const ResultTable& table) {
  std::vector<std::string> notes = untested_notes(table);
  for (std::string& note : row_notes(table)) notes.push_back(std::move(note));
  return notes;
}

std::vector<std::string> measuring_notes(const ResultTable& table) {
  const RunRecord& run = table.run;
  const Provenance& from = run.provenance;
  std::vector<std::string> notes;
  notes.push_back(
      fmt::format("Model {} ({}).", run.model,
                  model_text(run.num_layers, table.weights, table.config.dtype, run.model_hash)));
  for (const ResultStore::RunVariant& one : table.variants) {
    notes.push_back(fmt::format("{}: model {} ({}), device {} ({}).", one.variant, one.model,
                                model_text(one.num_layers, one.weights, one.dtype, one.model_hash),
                                one.device, one.device_name));
  }
  const std::vector<MachineUse> used = machines_used(table);
  const bool is_runs_own = used.empty() || (used.size() == 1 && is_run_of(run, *used[0].machine));
  if (is_runs_own) {
    const std::string card = card_text(from);
    notes.push_back(fmt::format("Device {} ({}), {} threads{}{}, load {:.2f} at the start.",
                                from.device, from.device_name, from.threads,
                                from.instruction_set.empty() ? "" : ", " + from.instruction_set,
                                card.empty() ? "" : ", " + card, from.load_average));
  }
  if (const std::string draws = decoding_note(table); !draws.empty()) notes.push_back(draws);
  for (const std::string& note : replay_notes(table.config)) notes.push_back(note);
  if (is_runs_own && table.peak_read_bytes_per_second > 0) {
    notes.push_back("Measured peaks: " +
                    peaks_text(table.peak_read_bytes_per_second, table.peak_flops_per_second) +
                    ".");
  }
  if (!is_runs_own) {
    for (const MachineUse& use : used) notes.push_back(machine_note(use));
  }
  return notes;
}

std::vector<std::string> provenance_notes(const ResultTable& table) {
  const RunRecord& run = table.run;
  const Provenance& from = run.provenance;
  std::vector<std::string> notes = measuring_notes(table);
  notes.push_back(fmt::format("Commit {}; {}; {}.", build_text(from), from.compiler, from.flags));
  for (const std::string& build : table.other_builds) {
    notes.push_back(fmt::format("Some cells were measured by another build: {}.", build));
  }
  notes.push_back(fmt::format("Started {} by `{}`.", table.started, run.command));
  if (const std::string others = other_runs_note(table.other_cells); !others.empty()) {
    notes.push_back(others);
  }
  return notes;
}

}  // namespace skipbench
