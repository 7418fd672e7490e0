#include "eval/sweep/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "engine/base/error.h"
#include "eval/sweep/interrupt.h"
#include "eval/sweep/reuse.h"
#include "eval/sweep/session.h"

namespace skipbench {

// Layer-tokens, less for larger batches, which share weights: a guess that only the time left
// depends on.
double estimated_work(const SweepSetup& setup, const Cell& cell) {
  if (cell.status != cell_status::kPending) return 0;
  const SweepConfig& config = setup.config;
  const double layers = setup.context.num_layers;
  const double budget = cell.is_full ? layers : layers / cell.key.target;
  const int beams = config.beams.beams;
  const double sharing = std::sqrt(static_cast<double>(std::min<int64_t>(cell.key.batch, 16)));
  if (cell.key.kind == "quality") {
    const auto prompts = static_cast<double>(setup.inputs[cell.dataset].prompts.size());
    double calibration = cell.calibrated ? 4 : 1;
    // A reference, read by two runs.
    calibration += static_cast<double>(2 * setup.inputs[cell.dataset].responses.size());
    return beams * calibration * prompts * config.max_new_tokens / 2 * (budget + 3) / sharing;
  }
  const double rounds = config.timing.repetitions + config.timing.warmup;
  return beams * rounds * static_cast<double>(config.timing.prompts) * config.timing.new_tokens *
         (budget + 3) / sharing;
}

namespace {

class Runner {
 public:
  // `ours`: of each cell, whether this process runs it.
  Runner(SweepSession& session, std::span<const StoredCell> stored, std::vector<bool> ours)
      : session_(session), stored_(stored.begin(), stored.end()), ours_(std::move(ours)) {}

  bool some_failed() const { return some_failed_; }

  bool has_work() const {
    for (size_t i = 0; i < cells().size(); ++i) {
      if (is_runnable(i) && (!is_done(i) || wants_scores(i))) return true;
    }
    return false;
  }

  void run_all_quality() {
    for (size_t i = 0; i < cells().size(); ++i) {
      const Cell& cell = cells()[i];
      if (cell.key.kind != "quality" || !is_runnable(i)) continue;
      if (is_done(i) && !wants_scores(i)) continue;
      session_.progress.begin(cell_name(cell.key),
                              is_done(i) ? 0 : estimated_work(session_.setup, cell));
      guarded(i, [&] {
        if (is_done(i)) return score_stored_outputs(session_, runnable(i));
        const auto strategy = strategy_of(session_, runnable(i));
        run_quality_cell(session_, runnable(i), *strategy);
      });
      session_.progress.end();
    }
  }

  void run_all_timing() {
    std::map<std::pair<size_t, int64_t>, std::vector<size_t>> groups;  // by dataset and batch
    for (size_t i = 0; i < cells().size(); ++i) {
      const Cell& cell = cells()[i];
      if (cell.key.kind != "timing" || !is_runnable(i)) continue;
      groups[{cell.dataset, cell.key.batch}].push_back(i);
    }
    for (const auto& [key, members] : groups) run_group(members);
  }

 private:
  const std::vector<Cell>& cells() const { return session_.setup.cells; }
  bool is_runnable(size_t i) const {
    return ours_[i] && cells()[i].status == cell_status::kPending;
  }
  bool is_done(size_t i) const { return stored_[i].status == cell_status::kDone; }
  bool wants_scores(size_t i) const {
    return cells()[i].key.kind == "quality" && lacks_scores(session_, runnable(i));
  }
  RunnableCell runnable(size_t i) const { return {&cells()[i], stored_[i].id}; }

  // Cells without a result, and `full` with them: a speedup compares within one group.
  void run_group(const std::vector<size_t>& members) {
    std::vector<RunnableCell> pending;
    double work = 0;
    const bool complete =
        std::all_of(members.begin(), members.end(), [&](size_t i) { return is_done(i); });
    if (complete) return;
    for (const size_t i : members) {
      if (is_done(i) && !cells()[i].is_full) continue;
      pending.push_back(runnable(i));
      work += estimated_work(session_.setup, cells()[i]);
    }
    const CellKey& key = cells()[members.front()].key;
    if (!measure_peaks(pending)) return;
    session_.progress.begin(
        fmt::format("timing, {}, batch {}, {} strategies", key.dataset, key.batch, pending.size()),
        work);
    run_timing_group(session_, pending, *peaks_, [&](RunnableCell cell, const Failure& failure) {
      record_failure(cell, failure);
    });
    session_.progress.end();
  }

  // Once per run. Without peaks there is no bound, so a failure is that of all that wait for it.
  bool measure_peaks(const std::vector<RunnableCell>& waiting) {
    if (peaks_) return true;
    Backend& backend = *session_.setup.backend;
    try {
      peaks_ = {backend.peak_read_bytes_per_second(), backend.peak_flops_per_second()};
    } catch (...) {
      const Failure failure = current_failure();
      for (const RunnableCell cell : waiting) record_failure(cell, failure);
      if (failure.ends_sweep) throw;
      return false;
    }
    session_.store.set_peaks(session_.run, peaks_->read_bytes_per_second, peaks_->flops_per_second);
    return true;
  }

  template <typename Work>
  void guarded(size_t i, const Work& work) {
    try {
      work();
    } catch (const Interrupted&) {
      if (!is_done(i)) {
        session_.store.set_status(stored_[i].id, session_.run, cell_status::kInterrupted);
      }
      throw;
    } catch (...) {
      const Failure failure = current_failure();
      record_failure(runnable(i), failure, /*keeps_status=*/is_done(i));
      if (failure.ends_sweep) throw;
    }
  }

  // `keeps_status`: what the cell has is whole; only scores that were added later are missing.
  void record_failure(RunnableCell cell, const Failure& failure, bool keeps_status = false) {
    some_failed_ = true;
    if (!keeps_status) {
      session_.store.set_status(cell.id, session_.run, failure.status, failure.message);
    }
    session_.progress.message(
        fmt::format("{}: {}: {}", failure.status, cell_name(cell.cell->key), failure.message));
  }

  SweepSession& session_;
  std::vector<StoredCell> stored_;  // one per cell
  std::vector<bool> ours_;          // likewise
  std::optional<MeasuredPeaks> peaks_;
  bool some_failed_ = false;
};

// Lists the cells of all points in the run's table; `ordinal` goes on from point to point.
void register_cells(ResultStore& store, std::span<const SweepSetup> variants, int64_t run) {
  int64_t ordinal = 0, position = 0;
  for (const SweepSetup& setup : variants) {
    const SweepConfig& config = setup.config;
    const Provenance& from = setup.context.provenance;
    const std::map<std::string, std::string>& types = setup.context.weight_types;
    store.add_variant(
        run, position++,
        {config.variant, config.model.path, setup.context.model_hash, setup.context.num_layers,
         config.model.dtype_name, from.device, from.device_name, types.at("")});
    for (const Cell& cell : setup.cells) {
      const StoredCell stored = store.add_cell(run, ordinal, cell.key, cell.identity, cell.resolved,
                                               {cell.adapter, types.at(cell.adapter)});
      if (cell.status != cell_status::kPending) {
        store.set_status(stored.id, run, cell.status, cell.message);
      }
      if (cell.key.kind == "quality") {
        store.ask_for_scores(
            run, ordinal,
            asked_signatures(config.datasets[cell.dataset], setup.inputs[cell.dataset]));
      }
      ++ordinal;
    }
  }
}

// Whether a run has a cell to work at; the models of the first that is `ours` are loaded then.
bool can_begin(std::span<SweepSetup> variants, const std::vector<std::vector<bool>>& ours,
               LatestModel& latest) {
  bool some = false;
  for (size_t v = 0; v < variants.size(); ++v) {
    const std::vector<Cell>& cells = variants[v].cells;
    for (size_t i = 0; i < cells.size(); ++i) {
      if (cells[i].status != cell_status::kPending) continue;
      some = true;
      if (!ours[v][i]) continue;
      variants[v].ensure_models(latest);
      return true;
    }
  }
  return some;
}

// Of the first point on a card that says which driver it has; where none does, of the last card.
void add_card(std::span<const SweepSetup> variants, const TelemetrySources& sources,
              Provenance& provenance) {
  for (const SweepSetup& setup : variants) {
    if (setup.backend->pci_bus_id().empty()) continue;
    provenance.libraries = setup.backend->library_versions();
    provenance.card = describe_card(*setup.backend, sources);
    if (!provenance.card.driver.empty()) return;
  }
}

// The run with its cells. If it starts over, it takes the place of all that the file holds, at
// once.
int64_t begin_run(ResultStore& store, std::span<const SweepSetup> variants,
                  const SweepOptions& options, bool starts_over) {
  const SweepSetup& first = variants.front();
  RunRecord record{options.command,          resolved_json(first.config).dump(),
                   first.context.provenance, first.config.model.path,
                   first.context.model_hash, first.context.num_layers};
  add_card(variants, options.telemetry, record.provenance);
  Transaction transaction(store.database());
  if (starts_over) store.clear();
  const int64_t run = store.begin_run(record);
  register_cells(store, variants, run);
  transaction.commit();
  return run;
}

// As they are now: a point may share cells with the points before it.
std::vector<StoredCell> stored_cells(ResultStore& store, const SweepSetup& setup) {
  std::vector<StoredCell> stored;
  for (const Cell& cell : setup.cells) stored.push_back(store.find_cell(cell.identity).value());
  return stored;
}

struct Workload {
  size_t cells = 0, runnable = 0, pending = 0;
  double work = 0;
};

Workload workload_of(ResultStore& store, std::span<const SweepSetup> variants,
                     const std::vector<std::vector<bool>>& ours) {
  Workload load;
  for (size_t v = 0; v < variants.size(); ++v) {
    const SweepSetup& setup = variants[v];
    const std::vector<StoredCell> stored = stored_cells(store, setup);
    for (size_t i = 0; i < stored.size(); ++i) {
      ++load.cells;
      if (setup.cells[i].status != cell_status::kPending) continue;
      ++load.runnable;
      if (!ours[v][i]) continue;
      if (stored[i].status == cell_status::kDone) continue;
      ++load.pending;
      load.work += estimated_work(setup, setup.cells[i]);
    }
  }
  return load;
}

// Points of a matrix share most of them.
void log_warnings(std::ostream& log, std::span<const SweepSetup> variants) {
  std::set<std::string> said;
  for (const SweepSetup& setup : variants) {
    for (const std::string& warning : setup.warnings) {
      if (said.insert(warning).second) log << "warning: " << warning << std::endl;
    }
  }
}

class NullBuffer : public std::streambuf {
  int overflow(int c) override { return c; }
};

}  // namespace

SweepOutcome run_sweep(std::span<SweepSetup> variants, const SweepOptions& options) {
  NullBuffer null_buffer;
  std::ostream null_log(&null_buffer);
  std::ostream& log = options.log != nullptr ? *options.log : null_log;
  ResultStore store(variants.front().config.results, OpenMode::kReadWrite);
  const InterruptGuard interrupt_guard;
  log_warnings(log, variants);
  const auto ours = cells_of_shard(variants, options.shard);
  LatestModel latest;
  const bool starts_over = options.fresh && can_begin(variants, ours, latest);
  if (options.fresh && !starts_over) {
    log << "no cell can be run: the results so far are kept" << std::endl;
  }
  const size_t reusable =
      starts_over ? 0 : take_over_quality(store, variants, options.reuse_quality);
  if (reusable > 0) {
    log << (options.reuse_quality
                ? fmt::format("quality of {} cells is taken over from another build", reusable)
                : fmt::format(
                      "another build decoded {} of the quality cells: --reuse-quality takes "
                      "them over, without it they are decoded again",
                      reusable))
        << std::endl;
  }
  const int64_t run = begin_run(store, variants, options, starts_over);
  const Workload load = workload_of(store, variants, ours);
  const std::string shard =
      options.shard.count == 1
          ? ""
          : fmt::format("shard {}/{}: ", options.shard.index, options.shard.count);
  const std::string all_done = shard.empty()
                                   ? fmt::format("all {} cells are done", load.cells)
                                   : fmt::format("its part of {} cells is done", load.cells);
  log << shard
      << (load.pending == 0 ? all_done
                            : fmt::format("{} of {} cells to do", load.pending, load.cells))
      << std::endl;

  Progress progress(log, options.log_is_terminal, load.work);
  bool some_failed = load.runnable == 0;  // there was nothing that could have been done
  try {
    for (size_t v = 0; v < variants.size(); ++v) {
      {
        Decoders decoders(variants[v]);
        BatchMeter meter(*variants[v].backend, options.telemetry);
        SweepSession session{variants[v], decoders,           store, progress, meter,
                             run,         options.after_batch};
        Runner runner(session, stored_cells(store, variants[v]), ours[v]);
        if (!runner.has_work()) continue;
        variants[v].ensure_models(latest);
        runner.run_all_quality();
        runner.run_all_timing();
        some_failed = some_failed || runner.some_failed();
      }
      if (variants.size() > 1) variants[v].release_models();
    }
  } catch (const Interrupted&) {
    store.end_run(run, "interrupted");
    progress.message("interrupted: what is done is kept, run again to go on");
    return SweepOutcome::kInterrupted;
  } catch (...) {  // a lost device, a broken store
    store.end_run(run, "failed");
    throw;
  }
  store.end_run(run, some_failed ? "failed" : "done");
  return some_failed ? SweepOutcome::kSomeFailed : SweepOutcome::kDone;
}

SweepOutcome run_sweep(SweepSetup setup, const SweepOptions& options) {
  return run_sweep(std::span(&setup, 1), options);
}

}  // namespace skipbench
