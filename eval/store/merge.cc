#include "eval/store/merge.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "eval/store/external_scores.h"
#include "eval/store/id_map.h"
#include "eval/store/joint_run.h"
#include "eval/store/merge_responses.h"
#include "eval/store/probes.h"
#include "eval/store/row_copy.h"
#include "eval/store/store.h"

namespace skipbench {
namespace {

constexpr size_t kShownConflicts = 20;
constexpr size_t kShownText = 60;

std::string shown(const std::string& text) {
  return text.size() <= kShownText ? text : text.substr(0, kShownText) + "...";
}

class Merger {
 public:
  explicit Merger(Database& output) : output_(output) {}

  void add(ResultStore& input, const std::string& name) {
    input_ = &input.database();
    name_ = name;
    for (IdMap* ids : {&runs_, &calibrations_, &groups_, &cells_}) ids->begin_file(name);
    copy_runs();
    copy_calibration_data();
    copy_calibrations();
    copy_layer_scores();
    const std::string differing = copy_external_metrics(*input_, output_);
    if (!differing.empty()) conflict("{}: an error rate in one file, none in another", differing);
    merge_probes(*input_, output_);
    copy_groups();
    copy_cells();
    copy_run_tables();
    if (!has_probes_alone()) note_latest_run();
  }

  const std::vector<std::string>& conflicts() const { return conflicts_; }

  // Of each input the run whose table it shows, in the output's numbers.
  const std::vector<int64_t>& latest_runs() const { return latest_; }

 private:
  template <typename... Parts>
  void conflict(fmt::format_string<Parts...> format, Parts&&... parts) {
    conflicts_.push_back(
        fmt::format("{}: {}", name_, fmt::format(format, std::forward<Parts>(parts)...)));
  }

  static std::optional<int64_t> mapped(const IdMap& ids, Statement& row, int column) {
    if (row.is_null(column)) return std::nullopt;
    return ids.at(row.integer(column));
  }

  // The same run may stand in several files: they may be copies of each other.
  void copy_runs() {
    Statement rows(*input_, "SELECT * FROM runs ORDER BY id");
    while (rows.step()) {
      const int64_t id = rows.integer(0);
      Statement known(output_,
                      "SELECT id FROM runs WHERE started = ? AND command = ? AND config = ? AND"
                      " load_average = ? ORDER BY id");
      known.bind(rows.text(rows.index("started")), rows.text(rows.index("command")),
                 rows.text(rows.index("config")), rows.real(rows.index("load_average")));
      // Runs of one file are never one run, however alike two within a second are.
      const auto is_taken = [&](int64_t run) {
        return std::any_of(runs_.all().begin(), runs_.all().end(),
                           [&](const auto& mapping) { return mapping.second == run; });
      };
      bool found = false;
      while (!found && known.step()) found = !is_taken(known.integer(0));
      if (found) {
        runs_[id] = known.integer(0);
      } else {
        runs_[id] = copy_row(rows, output_, "runs", {{"id", std::nullopt}});
        new_runs_.insert(runs_[id]);
      }
    }
  }

  void copy_calibration_data() {
    Statement rows(*input_, "SELECT * FROM calibration_data");
    while (rows.step()) {
      Statement known(output_, "SELECT requests FROM calibration_data WHERE identity = ?");
      if (known.bind(rows.text(0)).step()) {
        if (known.text(0) != rows.text(2)) {
          conflict("`full` gave other tokens for the calibration prompts");
        }
        continue;
      }
      copy_row(rows, output_, "calibration_data", {{"run_id", runs_.at(rows.integer(1))}});
    }
  }

  static std::string calibrated_text(const Statement& row) {
    return fmt::format("{} {} {}", row.text(row.index("parameter")),
                       row.real(row.index("threshold")), row.text(row.index("value")));
  }

  void copy_layer_scores() {
    Statement rows(*input_, "SELECT * FROM layer_scores");
    while (rows.step()) {
      Statement known(output_, "SELECT scores FROM layer_scores WHERE identity = ?");
      if (!known.bind(rows.text(0)).step()) {
        copy_row(rows, output_, "layer_scores", {{"run_id", runs_.at(rows.integer(1))}});
      } else if (known.text(0) != rows.text(rows.index("scores"))) {
        conflict("other {} scores of layers", rows.text(rows.index("score")));
      }
    }
  }

  void copy_calibrations() {
    Statement rows(*input_, "SELECT * FROM calibrations ORDER BY id");
    while (rows.step()) {
      const std::string found = calibrated_text(rows);
      Statement known(output_, "SELECT * FROM calibrations WHERE identity = ?");
      if (known.bind(rows.text(rows.index("identity"))).step()) {
        calibrations_[rows.integer(0)] = known.integer(0);
        if (calibrated_text(known) != found) {
          conflict("{} of {} at {:g}x, {} elsewhere", shown(found),
                   rows.text(rows.index("strategy")), rows.real(rows.index("target")),
                   shown(calibrated_text(known)));
        }
        continue;
      }
      calibrations_[rows.integer(0)] =
          copy_row(rows, output_, "calibrations",
                   {{"id", std::nullopt}, {"run_id", mapped(runs_, rows, 2)}});
    }
  }

  void copy_groups() {
    Statement rows(*input_, "SELECT * FROM timing_groups ORDER BY id");
    while (rows.step()) {
      const int64_t run = runs_.at(rows.integer(1));
      Statement known(output_,
                      "SELECT id FROM timing_groups WHERE run_id = ? AND dataset = ? AND"
                      " batch = ? AND finished = ?");
      known.bind(run, rows.text(2), rows.integer(3), rows.text(rows.index("finished")));
      const bool is_known = !new_runs_.contains(run) && known.step();
      groups_[rows.integer(0)] = is_known ? known.integer(0)
                                          : copy_row(rows, output_, "timing_groups",
                                                     {{"id", std::nullopt}, {"run_id", run}});
    }
  }

  void copy_cells() {
    Statement rows(*input_, "SELECT * FROM cells ORDER BY id");
    while (rows.step()) {
      const int64_t from = rows.integer(0);
      Statement known(output_, "SELECT id, status FROM cells WHERE identity = ?");
      if (!known.bind(rows.text(1)).step()) {
        cells_[from] = copy_row(rows, output_, "cells", links(rows, std::nullopt));
        copy_contents(from, cells_[from]);
        continue;
      }
      const int64_t to = cells_[from] = known.integer(0);
      const bool have = known.text(1) == cell_status::kDone;
      const bool found = rows.text(rows.index("status")) == cell_status::kDone;
      if (have && found) {
        compare_outputs(from, to);
        join_scores(from, to);
        join_samples(from, to);
        const std::string differs = join_responses(*input_, from, output_, to);
        if (!differs.empty()) conflict("{}: {}", cell_text(to), differs);
      } else if (found || (!have && num_outputs(*input_, from) > num_outputs(output_, to))) {
        replace(rows, from, to);
      }
    }
  }

  Replaced links(Statement& row, std::optional<int64_t> id) {
    return {{"id", id},
            {"run_id", mapped(runs_, row, row.index("run_id"))},
            {"group_id", mapped(groups_, row, row.index("group_id"))},
            {"calibration_id", mapped(calibrations_, row, row.index("calibration_id"))}};
  }

  static int64_t num_outputs(Database& database, int64_t cell) {
    Statement statement(database, "SELECT count(*) FROM outputs WHERE cell_id = ?");
    statement.bind(cell).step();
    return statement.integer(0);
  }

  // What stands there is not finished: the other file's takes its place.
  void replace(Statement& row, int64_t from, int64_t to) {
    for (const char* table : {"outputs", "samples", "scores", "external_scores", "response_scores",
                              "step_drift", "layer_drift"}) {
      Statement(output_, fmt::format("DELETE FROM {} WHERE cell_id = ?", table)).bind(to).run();
    }
    Statement(output_, "DELETE FROM cells WHERE id = ?").bind(to).run();
    copy_row(row, output_, "cells", links(row, to));
    copy_contents(from, to);
  }

  void copy_contents(int64_t from, int64_t to) {
    for (const char* table : {"outputs", "scores", "external_scores"}) {
      Statement rows(*input_, fmt::format("SELECT * FROM {} WHERE cell_id = ?", table));
      rows.bind(from);
      while (rows.step()) copy_row(rows, output_, table, {{"cell_id", to}});
    }
    join_responses(*input_, from, output_, to);
    join_samples(from, to);
  }

  // Raw times of groups that the output does not have yet.
  void join_samples(int64_t from, int64_t to) {
    Statement rows(*input_, "SELECT * FROM samples WHERE cell_id = ?");
    rows.bind(from);
    while (rows.step()) {
      const int64_t old_group = rows.integer(1);
      const int64_t group = old_group == 0 ? 0 : groups_.at(old_group);
      Statement known(output_,
                      "SELECT 1 FROM samples WHERE cell_id = ? AND group_id = ? AND"
                      " repetition = ? AND batch_index = ?");
      known.bind(to, group, rows.integer(2), rows.integer(3));
      if (known.step()) continue;
      copy_row(rows, output_, "samples", {{"cell_id", to}, {"group_id", group}});
    }
  }

  std::string cell_text(int64_t cell) {
    Statement statement(output_,
                        "SELECT kind || ' of ' || (resolved ->> '$.strategy') || ' ' ||"
                        " (resolved ->> '$.target') || 'x' FROM cells WHERE id = ?");
    statement.bind(cell).step();
    return statement.text(0);
  }

  void compare_outputs(int64_t from, int64_t to) {
    constexpr char kSql[] = "SELECT * FROM outputs WHERE cell_id = ? ORDER BY idx";
    Statement ours(output_, kSql), theirs(*input_, kSql);
    ours.bind(to);
    theirs.bind(from);
    while (true) {
      const bool more = ours.step();
      if (theirs.step() != more) return conflict("{}: another number of outputs", cell_text(to));
      if (!more) return;
      for (const char* column : {"idx", "tokens", "text", "reference", "layers"}) {
        const std::string here = theirs.text(theirs.index(column));
        const std::string there = ours.text(ours.index(column));
        if (here == there) continue;
        return conflict("{}: output {}: {} is '{}', '{}' elsewhere", cell_text(to),
                        theirs.integer(1), column, shown(here), shown(there));
      }
    }
  }

  void join_scores(int64_t from, int64_t to) {
    Statement rows(*input_, "SELECT * FROM scores WHERE cell_id = ?");
    rows.bind(from);
    while (rows.step()) {
      Statement known(output_,
                      "SELECT score FROM scores WHERE cell_id = ? AND signature = ? AND name = ?");
      if (!known.bind(to, rows.text(1), rows.text(2)).step()) {
        copy_row(rows, output_, "scores", {{"cell_id", to}});
        copy_external_scores(*input_, from, output_, to, rows.text(1));
      } else if (known.real(0) != rows.real(rows.index("score"))) {
        conflict("{}: {} is {}, {} elsewhere", cell_text(to), rows.text(2),
                 rows.real(rows.index("score")), known.real(0));
      }
    }
  }

  void copy_run_tables() {
    for (const char* table : {"run_cells", "run_scores", "run_variants"}) {
      Statement rows(*input_, fmt::format("SELECT * FROM {}", table));
      while (rows.step()) {
        const int64_t run = runs_.at(rows.integer(0));
        if (!new_runs_.contains(run)) {  // `rescore` may have added to one of two copies
          if (std::string(table) == "run_scores") {
            ask_for_external_score(output_, run, rows.integer(1), rows.text(3));
          }
          continue;
        }
        Replaced ids = {{"run_id", run}};
        if (std::string(table) == "run_cells") {
          ids["cell_id"] = cells_.at(rows.integer(rows.index("cell_id")));
        }
        copy_row(rows, output_, table, ids);
      }
    }
    new_runs_.clear();
  }

  // A file of `skipbench probe` has no table to join.
  bool has_probes_alone() {
    Statement rows(*input_, "SELECT 1 FROM probes WHERE NOT EXISTS (SELECT 1 FROM runs)");
    return rows.step();
  }

  void note_latest_run() {
    Statement latest(*input_, "SELECT max(id) FROM runs");
    if (!latest.step() || latest.is_null(0)) {
      throw StoreError({.what = "the results file holds no run",
                        .where = name_,
                        .expected = "a file that `skipbench run` or `probe --results` filled",
                        .hint = "run its sweep, or leave it out"});
    }
    latest_.push_back(runs_.at(latest.integer(0)));
    Statement models(output_,
                     "SELECT a.variant, a.model FROM run_variants a JOIN run_variants b ON"
                     " a.variant = b.variant AND a.model_hash != b.model_hash"
                     " WHERE a.run_id = ? AND b.run_id = ?");
    models.bind(latest_.back(), latest_.front());
    while (models.step()) conflict("another model: {}", models.text(1));
  }

  Database& output_;
  Database* input_ = nullptr;
  std::string name_;
  IdMap runs_{"run"}, calibrations_{"calibration"}, groups_{"timing group"}, cells_{"cell"};
  std::set<int64_t> new_runs_;   // of the input at hand, in the output's numbers
  std::vector<int64_t> latest_;  // of each input, likewise
  std::vector<std::string> conflicts_;
};

// Removed unless it was kept under its final name.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& final_path)
      : final_(final_path), path_(fmt::format("{}.merging-{}", final_path, getpid())) {}
  ~TemporaryFile() {
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::error_code ignored;
      std::filesystem::remove(path_ + suffix, ignored);
    }
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }
  void keep() const {
    std::error_code error;
    std::filesystem::rename(path_, final_, error);
    if (error) throw StoreError({.what = "cannot write: " + error.message(), .where = final_});
  }

 private:
  std::string final_, path_;
};

}  // namespace

MergeSummary merge_stores(std::span<const std::string> inputs, const std::string& output,
                          const std::string& command) {
  std::error_code ignored;
  if (std::filesystem::exists(output, ignored)) {
    throw StoreError({.what = "the file is there already",
                      .where = output,
                      .hint = "merge writes a new results file: name another, or remove it"});
  }
  const TemporaryFile temporary(output);
  MergeSummary summary;
  {
    ResultStore merged(temporary.path(), OpenMode::kReadWrite);
    Transaction transaction(merged.database());
    Merger merger(merged.database());
    for (const std::string& path : inputs) {
      ResultStore input(path, OpenMode::kReadOnly);
      merger.add(input, path);
    }
    const std::vector<std::string>& conflicts = merger.conflicts();
    if (!conflicts.empty()) {
      const size_t count = std::min(conflicts.size(), kShownConflicts);
      std::string text;
      for (size_t i = 0; i < count; ++i) text += "\n  " + conflicts[i];
      if (count < conflicts.size()) {
        text += fmt::format("\n  and {} more", conflicts.size() - count);
      }
      throw Error({.what = "the same cells differ, nothing was written:" + text});
    }
    if (!merger.latest_runs().empty()) {
      summary = add_joint_run(merged.database(), merger.latest_runs(), command);
    }
    transaction.commit();
  }
  temporary.keep();
  return summary;
}

}  // namespace skipbench
