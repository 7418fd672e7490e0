#include "eval/report/result_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/base/error.h"
#include "eval/report/cell_times.h"
#include "eval/report/row_statistics.h"
#include "eval/report/stored_statistics.h"
#include "eval/store/response_scores.h"
#include "strategies/strategy.h"

namespace skipbench {
namespace {

struct ListedCell {
  int64_t id = 0, ordinal = 0;
  CellKey key;
  std::string strategy_name;  // in the registry
  std::string status, message;
  bool has_adapter = false;
  std::string adapter, weights;
  std::optional<int64_t> group, calibration, longest_run;
  std::optional<double> bound;
};

class TableLoader {
 public:
  explicit TableLoader(ResultStore& store) : store_(store), database_(store.database()) {}

  ResultTable load(std::optional<int64_t> wanted) {
    run_ = find_run(database_, wanted);
    table_.run_id = run_;
    table_.other_cells = other_cells(database_, run_);
    load_run();
    load_variants();
    const std::vector<ListedCell> cells = list_cells(run_);
    machines_ = find_machines(database_, run_);
    table_.machines = machines_.machines;
    for (const ListedCell& cell : cells) {
      if (cell.key.kind == "quality") add_rows(cell, cells);
    }
    find_other_builds(run_);
    fold_seeds(table_);
    return std::move(table_);
  }

 private:
  void load_run() {
    Statement statement(database_,
                        "SELECT id, command, config, commit_hash, dirty_hash, compiler, flags,"
                        " device, device_name, cpu, threads, instruction_set, load_average, model,"
                        " model_hash, num_layers, started, driver, gpu_uuid, power_limit_watts,"
                        " cuda_runtime, cublaslt FROM runs WHERE id = ?");
    statement.bind(run_).step();
    RunRecord& run = table_.run;
    run.command = statement.text(1);
    run.config = statement.text(2);
    run.provenance = {statement.text(3),  statement.text(4),
                      statement.text(5),  statement.text(6),
                      statement.text(7),  statement.text(8),
                      statement.text(9),  static_cast<int>(statement.integer(10)),
                      statement.text(11), statement.real(12)};
    run.provenance.card = {.driver = statement.text(17), .uuid = statement.text(18)};
    run.provenance.libraries = {statement.text(20), statement.text(21)};
    if (!statement.is_null(19)) run.provenance.card.power_limit_watts = statement.real(19);
    run.model = statement.text(13);
    run.model_hash = statement.text(14);
    run.num_layers = static_cast<int>(statement.integer(15));
    table_.started = statement.text(16);
    table_.config = read_stored_config(run.config, database_.path());
    load_peaks();
  }

  void load_variants() {
    Statement statement(database_,
                        "SELECT variant, model, model_hash, num_layers, dtype, device, device_name,"
                        " weights FROM run_variants WHERE run_id = ? ORDER BY position");
    statement.bind(run_);
    while (statement.step()) {
      if (table_.weights.empty()) table_.weights = statement.text(7);
      if (statement.text(0).empty()) continue;
      table_.variants.push_back({statement.text(0), statement.text(1), statement.text(2),
                                 static_cast<int>(statement.integer(3)), statement.text(4),
                                 statement.text(5), statement.text(6), statement.text(7)});
    }
  }

  // A run that found all done has measured no peaks; those of the cells' runs stand.
  void load_peaks() {
    Statement statement(database_,
                        "SELECT peak_read_bytes_per_second, peak_flops_per_second FROM runs"
                        " WHERE peak_read_bytes_per_second IS NOT NULL AND id <= ?"
                        " ORDER BY id DESC LIMIT 1");
    if (!statement.bind(run_).step()) return;
    table_.peak_read_bytes_per_second = statement.real(0);
    table_.peak_flops_per_second = statement.real(1);
  }

  std::vector<ListedCell> list_cells(int64_t run) {
    Statement statement(
        database_,
        "SELECT c.id, c.kind, r.strategy, r.target, r.dataset, r.batch, c.status, c.message,"
        " c.group_id, c.calibration_id, c.longest_skipped_run, c.bound, r.variant, r.ordinal,"
        " c.resolved ->> '$.strategy', r.weights, r.adapter, c.resolved ->> '$.model',"
        " (SELECT v.model_hash FROM run_variants v WHERE v.run_id = r.run_id AND"
        "  v.variant = r.variant) FROM run_cells r JOIN cells c ON c.id = r.cell_id WHERE r.run_id "
        "= ? ORDER BY ordinal");
    statement.bind(run);
    const auto integer = [&](int column) -> std::optional<int64_t> {
      if (statement.is_null(column)) return std::nullopt;
      return statement.integer(column);
    };
    std::vector<ListedCell> cells;
    while (statement.step()) {
      ListedCell cell;
      cell.id = statement.integer(0);
      cell.key = {statement.text(1), statement.text(2),    statement.real(3),
                  statement.text(4), statement.integer(5), statement.text(12)};
      cell.ordinal = statement.integer(13);
      cell.status = statement.text(6);
      cell.message = statement.text(7);
      cell.group = integer(8);
      cell.calibration = integer(9);
      cell.longest_run = integer(10);
      if (!statement.is_null(11)) cell.bound = statement.real(11);
      cell.strategy_name = statement.text(14);
      cell.weights = statement.text(15);
      if (statement.is_null(16)) {  // an older version's
        const std::string base = statement.is_null(18) ? table_.run.model_hash : statement.text(18);
        cell.has_adapter = !statement.is_null(17) && statement.text(17) != base;
        if (cell.has_adapter) cell.adapter = adapter_pattern(cell.key.strategy);
      } else {
        cell.adapter = statement.text(16);
        cell.has_adapter = !cell.adapter.empty();
      }
      cells.push_back(std::move(cell));
    }
    return cells;
  }

  std::string adapter_pattern(const std::string& label) const {
    for (const StoredStrategy& strategy : table_.config.strategies) {
      if (strategy.label == label && !strategy.adapter.empty()) return strategy.adapter;
    }
    return table_.config.adapter;
  }

  // A target of 1 skips nothing, which needs no training.
  static bool is_untrained(const ListedCell& cell) {
    const auto table = strategy_table();
    return !cell.has_adapter && cell.key.target > 1 && cell.status != cell_status::kInvalid &&
           std::any_of(table.begin(), table.end(), [&](const StrategyInfo& info) {
             return info.needs_training && info.name == cell.strategy_name;
           });
  }

  static bool same_point(const ListedCell& a, const ListedCell& b) {
    return a.key.strategy == b.key.strategy && a.key.target == b.key.target &&
           a.key.dataset == b.key.dataset && a.key.variant == b.key.variant;
  }

  void add_rows(const ListedCell& quality, const std::vector<ListedCell>& cells) {
    TableRow base = quality_row(quality, cells);
    const ListedCell* first = nullptr;
    for (const ListedCell& cell : cells) {
      if (cell.key.kind != "timing" || !same_point(cell, quality)) continue;
      if (first == nullptr) first = &cell;
      TableRow row = base;
      add_timing(row, cell, *first, cells);
      table_.rows.push_back(std::move(row));
    }
    if (first == nullptr) table_.rows.push_back(std::move(base));
  }

  TableRow quality_row(const ListedCell& cell, const std::vector<ListedCell>& cells) {
    TableRow row;
    row.strategy = cell.key.strategy;
    row.target = cell.key.target;
    row.data_name = cell.key.dataset;
    row.variant = cell.key.variant;
    row.dataset = row.variant.empty() ? row.data_name : row.data_name + ", " + row.variant;
    row.status = cell.status;
    row.message = cell.message;
    row.quality_cell = cell.id;
    row.strategy_name = cell.strategy_name;
    row.has_adapter = cell.has_adapter;
    row.adapter = cell.adapter;
    row.weights = cell.weights;
    row.is_untrained = is_untrained(cell);
    row.longest_skipped_run = cell.longest_run;
    if (cell.calibration) row.calibration = load_calibration(*cell.calibration);
    if (cell.status != cell_status::kDone) return row;
    row.scored_on = note_machine(row, cell.id);
    const std::vector<OutputRecord> outputs = store_.outputs(cell.id);
    row.layers = layer_statistics(outputs);
    if (const auto* texts = full_texts(cell, cells)) {
      row.differs_from_full = text_difference(outputs, *texts);
    }
    add_drafts(row, cell.id);
    add_natural_speed(database_, cell.id, row);
    add_drift(row, cell.id);
    // A cell may hold scores of other runs' metrics and of other data sets with the same prompts.
    Statement scores(database_,
                     "SELECT s.name, s.signature, s.score FROM run_scores r JOIN scores s"
                     " ON s.cell_id = ? AND s.signature = r.signature"
                     " WHERE r.run_id = ? AND r.ordinal = ? ORDER BY r.position, s.ordinal");
    scores.bind(cell.id, run_, cell.ordinal);
    while (scores.step()) {
      row.scores.push_back({.name = scores.text(0),
                            .signature = scores.text(1),
                            .value = scores.real(2),
                            .higher_is_better = is_higher_better(store_, scores.text(1))});
    }
    return row;
  }

  std::vector<size_t> note_machine(TableRow& row, int64_t cell) const {
    const auto found = machines_.of_cell.find(cell);
    if (found == machines_.of_cell.end()) return {};
    row.machine = machine_name(machines_.machines[found->second]);
    return {found->second};
  }

  // Of several prefixes the first.
  void add_drift(TableRow& row, int64_t cell) {
    for (const std::string& prefix : measured_prefixes(store_, cell)) {
      StoredDrift drift = stored_drift(store_, cell, prefix);
      if (drift.decoding.texts == 0) continue;
      StepDivergence means = mean_of(drift.decoding);
      row.layer_cosine = std::move(means.cosine);
      row.layer_norm_ratio = std::move(means.norm_ratio);
      row.steps = std::move(drift.steps);
      return;
    }
  }

  void add_drafts(TableRow& row, int64_t cell) {
    Statement statement(database_,
                        "SELECT sum(drafted), sum(accepted), sum(verify_calls) FROM samples"
                        " WHERE cell_id = ? AND group_id = 0");
    if (!statement.bind(cell).step() || statement.integer(2) == 0) return;
    row.drafted = statement.integer(0);
    row.accepted = statement.integer(1);
    row.verify_calls = statement.integer(2);
  }

  TableCalibration load_calibration(int64_t id) {
    Statement statement(database_,
                        "SELECT parameter, value, threshold, budget, realised_budget, on_target"
                        " FROM calibrations WHERE id = ?");
    if (!statement.bind(id).step()) return {};
    return {statement.text(0), statement.text(1), statement.real(2),
            statement.real(3), statement.real(4), statement.integer(5) != 0};
  }

  void add_timing(TableRow& row, const ListedCell& cell, const ListedCell& first,
                  const std::vector<ListedCell>& cells) {
    row.batch = cell.key.batch;
    if (cell.status != cell_status::kDone) {
      if (row.status == cell_status::kDone) row.status = cell.status;
      if (row.message.empty()) row.message = cell.message;
      return;
    }
    row.timed_on = note_machine(row, cell.id);
    const std::vector<OutputRecord> outputs = store_.outputs(cell.id);
    std::vector<LayersPerToken> layers;
    for (const OutputRecord& output : outputs) layers.push_back(output.layers);
    row.timed_layers = realised_budget(layers);
    const auto speeds = speeds_of(database_, cell.id, *cell.group);
    row.total_per_second = speeds->total;
    row.decode_per_second = speeds->decode;
    row.decode_spread = speeds->spread;
    row.bound = cell.bound;
    add_timed_batches(database_, cell.id, *cell.group, row);
    add_batch_use(database_, cell.id, *cell.group, row);
    if (const auto full = full_cell(cell, cells)) {
      const auto full_speeds = speeds_of(database_, *full, *cell.group);
      if (full_speeds) {
        row.speedup = speeds->decode / full_speeds->decode;
        row.total_speedup = speeds->total / full_speeds->total;
        if (*full != cell.id) add_speed_intervals(*speeds, *full_speeds, row);
      }
      row.memory_saved = saved_share(row.needed_mib, needed_mib(database_, *full, *cell.group));
    }
    if (first.status == cell_status::kDone) {
      row.output_difference = difference(outputs, store_.outputs(first.id));
    }
  }

  static double difference(const std::vector<OutputRecord>& outputs,
                           const std::vector<OutputRecord>& reference) {
    double different = 0;
    for (size_t i = 0; i < outputs.size(); ++i) {
      different += i < reference.size() && outputs[i].tokens == reference[i].tokens ? 0 : 1;
    }
    return outputs.empty() ? 0 : different / static_cast<double>(outputs.size());
  }

  // The outputs of `full` for the cell's data; null: it has not decoded them all.
  const std::vector<std::string>* full_texts(const ListedCell& cell,
                                             const std::vector<ListedCell>& cells) {
    for (const ListedCell& other : cells) {
      if (other.key.kind != "quality" || other.key.dataset != cell.key.dataset ||
          other.key.variant != cell.key.variant || !is_full(other.id)) {
        continue;
      }
      if (other.status != cell_status::kDone) return nullptr;
      const auto [found, is_new] = full_texts_.try_emplace(other.id);
      if (is_new) {
        for (OutputRecord& output : store_.outputs(other.id)) {
          found->second.push_back(std::move(output.text));
        }
      }
      return &found->second;
    }
    return nullptr;
  }

  static std::optional<double> text_difference(const std::vector<OutputRecord>& outputs,
                                               const std::vector<std::string>& reference) {
    if (outputs.empty() || outputs.size() != reference.size()) return std::nullopt;
    double different = 0;
    for (size_t i = 0; i < outputs.size(); ++i) {
      different += outputs[i].text == reference[i] ? 0 : 1;
    }
    return different / static_cast<double>(outputs.size());
  }

  static std::optional<double> saved_share(std::optional<double> needed,
                                           std::optional<double> of_full) {
    if (!needed || !of_full || *of_full <= 0) return std::nullopt;
    return 1 - *needed / *of_full;
  }

  // `full`, as it may have been measured in the cell's own group.
  std::optional<int64_t> full_cell(const ListedCell& cell, const std::vector<ListedCell>& cells) {
    for (const ListedCell& other : cells) {
      if (other.key.kind == "timing" && other.key.dataset == cell.key.dataset &&
          other.key.batch == cell.key.batch && other.key.variant == cell.key.variant &&
          is_full(other.id)) {
        return other.id;
      }
    }
    return std::nullopt;
  }

  bool is_full(int64_t cell) {
    Statement statement(database_, "SELECT resolved ->> '$.strategy' FROM cells WHERE id = ?");
    return statement.bind(cell).step() && statement.text(0) == "full";
  }

  void find_other_builds(int64_t run) {
    Statement statement(
        database_,
        "SELECT DISTINCT o.commit_hash, o.dirty_hash FROM run_cells r"
        " JOIN cells c ON c.id = r.cell_id JOIN runs o ON o.id = c.run_id WHERE r.run_id = ?");
    statement.bind(run);
    const Provenance& from = table_.run.provenance;
    while (statement.step()) {
      if (statement.text(0) == from.commit && statement.text(1) == from.dirty_hash) continue;
      const std::string dirty = statement.text(1).empty() ? "" : " + changes " + statement.text(1);
      table_.other_builds.push_back(statement.text(0).substr(0, 12) + dirty);
    }
  }

  ResultStore& store_;
  Database& database_;
  int64_t run_ = 0;
  CellMachines machines_;
  std::map<int64_t, std::vector<std::string>> full_texts_;  // by quality cell
  ResultTable table_;
};

}  // namespace

ResultTable load_result_table(ResultStore& store, std::optional<int64_t> run) {
  return TableLoader(store).load(run);
}

}  // namespace skipbench
