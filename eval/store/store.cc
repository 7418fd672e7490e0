#include "eval/store/store.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "eval/store/schema.h"
#include "eval/store/stored_json.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

// An advisory lock that the kernel drops with the process, however that ends. It is taken on a
// descriptor of its own that outlives the database: closing any descriptor of a file drops SQLite's
// own (POSIX) locks.
int lock_file(const std::string& path) {
  check_file_name(path);
  std::error_code error;
  const auto folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (std::filesystem::is_directory(path, error)) {
    throw StoreError({.what = "is a folder", .where = path, .expected = "a results file (SQLite)"});
  }
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) {
    throw StoreError(
        {.what = fmt::format("cannot write the results file: {}", std::strerror(errno)),
         .where = path,
         .hint = "check its folder's permissions, or change `results:`"});
  }
  if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) return descriptor;
  close(descriptor);
  throw StoreError({.what = "another run is writing to this results file",
                    .where = path,
                    .hint = "wait until it ends; `run` (--set results=PATH) and `probe` (--results "
                            "PATH) can write to another file"});
}

// JSON strings must be UTF-8; texts were made so before they got here.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string utc_now() { return fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr))); }

ResultStore::ResultStore(const std::string& path, OpenMode mode) {
  if (mode == OpenMode::kReadOnly) {
    database_.emplace(path, mode);
    if (is_current(*database_)) return;
    // Read as if it had been brought up to date; only commands that add
    // to it change the file.
    *database_ = database_->copy_in_memory();
    migrate(*database_);
    return;
  }
  lock_ = lock_file(path);
  try {
    database_.emplace(path, mode);
    database_->fold_log_on_close(false);  // what is refused stays as it is
    check_is_ours(*database_);
    database_->fold_log_on_close(true);
    // With a write-ahead log readers never wait, and a commit is one append.
    database_->execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    migrate(*database_);
  } catch (...) {
    database_.reset();
    close(lock_);
    throw;
  }
}

ResultStore::~ResultStore() {
  database_.reset();
  if (lock_ >= 0) close(lock_);
}

void ResultStore::clear() {
  for (const char* table :
       {"external_scores", "external_metrics", "response_scores", "step_drift", "layer_drift",
        "scores", "samples", "outputs", "run_scores", "run_variants", "run_cells", "cells",
        "timing_groups", "layer_scores", "calibration_data", "calibrations", "runs"}) {
    database_->execute(fmt::format("DELETE FROM {}", table));
  }
}

int64_t ResultStore::begin_run(const RunRecord& run) {
  const Provenance& from = run.provenance;
  Statement(*database_,
            "INSERT INTO runs(started, state, command, config, commit_hash, dirty_hash, compiler,"
            " flags, device, device_name, cpu, threads, instruction_set, load_average, model,"
            " model_hash, num_layers, driver, gpu_uuid, power_limit_watts, cuda_runtime, cublaslt)"
            " VALUES(?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(utc_now(), run.command, run.config, from.commit, from.dirty_hash, from.compiler,
            from.flags, from.device, from.device_name, from.cpu, from.threads, from.instruction_set,
            from.load_average, run.model, run.model_hash, run.num_layers, from.card.driver,
            from.card.uuid, from.card.power_limit_watts, from.libraries.cuda_runtime,
            from.libraries.cublaslt)
      .run();
  return database_->last_insert_id();
}

void ResultStore::set_peaks(int64_t run, double read_bytes_per_second, double flops_per_second) {
  Statement(*database_,
            "UPDATE runs SET peak_read_bytes_per_second = ?, peak_flops_per_second = ?"
            " WHERE id = ?")
      .bind(read_bytes_per_second, flops_per_second, run)
      .run();
}

void ResultStore::end_run(int64_t run, const std::string& state) {
  Statement(*database_, "UPDATE runs SET ended = ?, state = ? WHERE id = ?")
      .bind(utc_now(), state, run)
      .run();
}

StoredCell ResultStore::add_cell(int64_t run, int64_t ordinal, const CellKey& key,
                                 const std::string& identity, const std::string& resolved,
                                 const CellWeights& weights) {
  Statement(*database_,
            "INSERT INTO cells(identity, kind, resolved, status) VALUES(?, ?, ?, 'pending')"
            " ON CONFLICT(identity) DO NOTHING")
      .bind(identity, key.kind, resolved)
      .run();
  const StoredCell cell = find_cell(identity).value();
  Statement(*database_,
            "INSERT INTO run_cells(run_id, ordinal, cell_id, strategy, target, dataset, batch,"
            " variant, adapter, weights) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(run, ordinal, cell.id, key.strategy, key.target, key.dataset, key.batch, key.variant,
            weights.adapter, weights.types)
      .run();
  return cell;
}

void ResultStore::add_variant(int64_t run, int64_t position, const RunVariant& variant) {
  Statement(*database_,
            "INSERT INTO run_variants(run_id, position, variant, model, model_hash, num_layers,"
            " dtype, device, device_name, weights) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(run, position, variant.variant, variant.model, variant.model_hash, variant.num_layers,
            variant.dtype, variant.device, variant.device_name, variant.weights)
      .run();
}

void ResultStore::ask_for_scores(int64_t run, int64_t ordinal,
                                 std::span<const std::string> signatures) {
  int64_t position = 0;
  for (const std::string& signature : signatures) {
    Statement(*database_,
              "INSERT INTO run_scores(run_id, ordinal, position, signature) VALUES(?, ?, ?, ?)")
        .bind(run, ordinal, position++, signature)
        .run();
  }
}

std::optional<StoredCell> ResultStore::find_cell(const std::string& identity) {
  Statement found(*database_, "SELECT id, status, message FROM cells WHERE identity = ?");
  if (!found.bind(identity).step()) return std::nullopt;
  return StoredCell{found.integer(0), found.text(1), found.text(2)};
}

void ResultStore::set_status(int64_t cell, int64_t run, const std::string& status,
                             const std::string& message) {
  Statement(*database_, "UPDATE cells SET status = ?, message = ?, run_id = ? WHERE id = ?")
      .bind(status, message, run, cell)
      .run();
}

void ResultStore::set_longest_skipped_run(int64_t cell, int longest) {
  Statement(*database_, "UPDATE cells SET longest_skipped_run = ? WHERE id = ?")
      .bind(longest, cell)
      .run();
}

void ResultStore::set_calibration_of(int64_t cell, int64_t calibration) {
  Statement(*database_, "UPDATE cells SET calibration_id = ? WHERE id = ?")
      .bind(calibration, cell)
      .run();
}

int64_t ResultStore::num_outputs(int64_t cell) {
  Statement statement(*database_, "SELECT count(*) FROM outputs WHERE cell_id = ?");
  statement.bind(cell).step();
  return statement.integer(0);
}

int64_t ResultStore::num_batches(int64_t cell) {
  Statement statement(*database_,
                      "SELECT count(*) FROM samples WHERE cell_id = ? AND group_id = 0");
  statement.bind(cell).step();
  return statement.integer(0);
}

void ResultStore::insert_output(int64_t cell, const OutputRecord& output) {
  Statement(*database_,
            "INSERT INTO outputs(cell_id, idx, batch_index, prompt_tokens, tokens, text, reference,"
            " layers) VALUES(?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(cell, output.index, output.batch_index, output.prompt_tokens, dump(Json(output.tokens)),
            output.text, dump(Json(output.references)), dump(Json(output.layers)))
      .run();
}

void ResultStore::insert_sample(int64_t cell, int64_t group, const SampleRecord& sample) {
  const BatchTimings& times = sample.timings;
  const BatchUse& use = sample.use;
  Statement(*database_,
            "INSERT INTO samples(cell_id, group_id, repetition, batch_index, rows, prefill_us,"
            " decode_us, prompt_tokens, decode_tokens, exit_tests, exit_test_us, kv_cache_bytes,"
            " step_us, drafted, accepted, verify_calls, energy_joules, peak_memory_bytes,"
            " sm_clock_mhz, memory_clock_mhz, temperature_c, power_watts, clock_reasons,"
            " foreign_processes, foreign_memory_bytes)"
            " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(cell, group, sample.repetition, sample.batch_index, sample.rows, times.prefill_us,
            times.decode_us, times.prompt_tokens, times.decode_tokens, times.exit_tests,
            times.exit_test_us, times.kv_cache_bytes, dump(Json(times.step_us)), times.drafted,
            times.accepted, times.verify_calls, use.energy_joules, use.peak_memory_bytes,
            use.state.sm_clock_mhz, use.state.memory_clock_mhz, use.state.temperature_c,
            use.state.power_watts, use.state.clock_reasons, use.state.foreign_processes,
            use.state.foreign_memory_bytes)
      .run();
}

void ResultStore::add_batch(int64_t cell, std::span<const OutputRecord> outputs,
                            const SampleRecord& sample) {
  Transaction transaction(*database_);
  for (const OutputRecord& output : outputs) insert_output(cell, output);
  insert_sample(cell, 0, sample);
  transaction.commit();
}

std::vector<OutputRecord> ResultStore::outputs(int64_t cell) {
  Statement statement(*database_,
                      "SELECT idx, batch_index, prompt_tokens, tokens, text, reference, layers"
                      " FROM outputs WHERE cell_id = ? ORDER BY idx");
  statement.bind(cell);
  std::vector<OutputRecord> outputs;
  while (statement.step()) {
    OutputRecord output;
    output.index = statement.integer(0);
    output.batch_index = statement.integer(1);
    output.prompt_tokens = statement.integer(2);
    output.tokens = stored_value<TokenIds>(*database_, statement.text(3));
    output.text = statement.text(4);
    output.references = stored_value<std::vector<std::string>>(*database_, statement.text(5));
    output.layers = stored_value<LayersPerToken>(*database_, statement.text(6));
    outputs.push_back(std::move(output));
  }
  return outputs;
}

void ResultStore::finish_quality(int64_t cell, int64_t run, std::span<const ScoreRecord> scores) {
  Transaction transaction(*database_);
  int64_t ordinal = 0;
  for (const ScoreRecord& score : scores) {
    Statement statement(*database_,
                        "INSERT OR REPLACE INTO scores(cell_id, signature, name, ordinal, score,"
                        " precision, recall) VALUES(?, ?, ?, ?, ?, ?, ?)");
    statement.bind(cell, score.signature, score.name, ordinal++, score.score, score.precision,
                   score.recall);
    statement.run();
  }
  // A cell that was done keeps its run: only scores were added to its outputs.
  Statement status(*database_, "SELECT 1 FROM cells WHERE id = ? AND status = 'done'");
  if (!status.bind(cell).step()) set_status(cell, run, cell_status::kDone);
  transaction.commit();
}

bool ResultStore::has_score(int64_t cell, const std::string& signature) {
  Statement statement(*database_, "SELECT 1 FROM scores WHERE cell_id = ? AND signature = ?");
  return statement.bind(cell, signature).step();
}

void ResultStore::finish_group(int64_t run, const std::string& dataset, int64_t batch,
                               double mean_context, std::span<const TimedCell> cells) {
  Transaction transaction(*database_);
  Statement(*database_,
            "INSERT INTO timing_groups(run_id, dataset, batch, mean_context, finished)"
            " VALUES(?, ?, ?, ?, ?)")
      .bind(run, dataset, batch, mean_context, utc_now())
      .run();
  const int64_t group = database_->last_insert_id();
  for (const TimedCell& timed : cells) {
    Statement(*database_, "DELETE FROM outputs WHERE cell_id = ?").bind(timed.cell).run();
    for (const OutputRecord& output : timed.outputs) insert_output(timed.cell, output);
    for (const SampleRecord& sample : timed.samples) insert_sample(timed.cell, group, sample);
    Statement(*database_,
              "UPDATE cells SET group_id = ?, bound = ?, weight_bytes = ?, unread_weight_bytes = ?"
              " WHERE id = ?")
        .bind(group, timed.bound, timed.weight_bytes, timed.unread_weight_bytes, timed.cell)
        .run();
    set_status(timed.cell, run, cell_status::kDone);
  }
  transaction.commit();
}

std::optional<ResultStore::StoredCalibration> ResultStore::find_calibration(
    const std::string& identity) {
  Statement statement(*database_,
                      "SELECT id, threshold, budget, realised_budget, on_target, passes,"
                      " parameter, value FROM calibrations WHERE identity = ?");
  if (!statement.bind(identity).step()) return std::nullopt;
  StoredCalibration stored;
  stored.id = statement.integer(0);
  stored.calibration.threshold = statement.real(1);
  stored.calibration.budget = statement.real(2);
  stored.calibration.realised_budget = statement.real(3);
  stored.calibration.on_target = statement.integer(4) != 0;
  stored.calibration.passes = static_cast<int>(statement.integer(5));
  stored.calibration.parameter = statement.text(6);
  stored.calibration.value = statement.text(7);
  return stored;
}

ResultStore::StoredCalibration ResultStore::add_calibration(
    int64_t run, const std::string& identity, const std::string& strategy, double target,
    const std::string& dataset, const std::string& data_hash, const Calibration& calibration) {
  Statement(*database_,
            "INSERT INTO calibrations(identity, run_id, strategy, target, dataset, data_hash,"
            " threshold, budget, realised_budget, on_target, passes, parameter, value)"
            " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(identity, run, strategy, target, dataset, data_hash, calibration.threshold,
            calibration.budget, calibration.realised_budget, calibration.on_target,
            calibration.passes, calibration.parameter, calibration.value)
      .run();
  return {database_->last_insert_id(), calibration};
}

std::optional<std::string> ResultStore::find_layer_scores(const std::string& identity) {
  Statement statement(*database_, "SELECT scores FROM layer_scores WHERE identity = ?");
  if (!statement.bind(identity).step()) return std::nullopt;
  return statement.text(0);
}

void ResultStore::add_layer_scores(int64_t run, const std::string& identity,
                                   const std::string& score, const std::string& dataset,
                                   const std::string& data_hash, const std::string& scores) {
  Statement(*database_,
            "INSERT OR REPLACE INTO layer_scores(identity, run_id, score, dataset, data_hash,"
            " scores) VALUES(?, ?, ?, ?, ?, ?)")
      .bind(identity, run, score, dataset, data_hash, scores)
      .run();
}

std::optional<std::vector<ScoreRequest>> ResultStore::find_calibration_data(
    const std::string& identity) {
  Statement statement(*database_, "SELECT requests FROM calibration_data WHERE identity = ?");
  if (!statement.bind(identity).step()) return std::nullopt;
  std::vector<ScoreRequest> requests;
  for (auto& [prompt, continuation] :
       stored_value<std::vector<std::pair<TokenIds, TokenIds>>>(*database_, statement.text(0))) {
    requests.push_back({std::move(prompt), std::move(continuation)});
  }
  return requests;
}

void ResultStore::add_calibration_data(int64_t run, const std::string& identity,
                                       std::span<const ScoreRequest> requests) {
  Json list = Json::array();
  for (const ScoreRequest& request : requests) {
    list.push_back(Json::array({Json(request.prompt), Json(request.continuation)}));
  }
  Statement(*database_, "INSERT INTO calibration_data(identity, run_id, requests) VALUES(?, ?, ?)")
      .bind(identity, run, dump(list))
      .run();
}

}  // namespace skipbench
