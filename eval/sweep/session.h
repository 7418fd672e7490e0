// What the parts of a running sweep share.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/decoder.h"
#include "eval/cost_model.h"
#include "eval/store/store.h"
#include "eval/sweep/failure.h"
#include "eval/sweep/progress.h"
#include "eval/sweep/setup.h"
#include "eval/telemetry/batch_meter.h"

namespace skipbench {

// The model, and the model with each adapter, ready to decode.
class Decoders {
 public:
  explicit Decoders(const SweepSetup& setup) : setup_(setup) {}

  Decoder& of(const Cell& cell) {
    std::unique_ptr<Entry>& entry = entries_[cell.adapter];
    if (!entry) entry = std::make_unique<Entry>(setup_.model_of(cell), *setup_.backend);
    return entry->decoder;
  }

 private:
  struct Entry {
    Entry(const LoadedModel& loaded, Backend& backend) : model(loaded, backend), decoder(model) {}

    Model model;
    Decoder decoder;
  };

  const SweepSetup& setup_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;  // by the adapter's folder
};

struct SweepSession {
  const SweepSetup& setup;
  Decoders& decoders;
  ResultStore& store;
  Progress& progress;
  BatchMeter& meter;
  int64_t run = 0;
  std::function<void()> after_batch;  // test hook: after each batch that was decoded

  const SweepConfig& config() const { return setup.config; }
  const DatasetSection& dataset(const Cell& cell) const {
    return setup.config.datasets[cell.dataset];
  }
  const SweepInputs& inputs(const Cell& cell) const { return setup.inputs[cell.dataset]; }
  Decoder& decoder(const Cell& cell) const { return decoders.of(cell); }
  int num_layers() const { return setup.context.num_layers; }

  // The end of a unit of work that is kept: where ^C takes effect. Throws Interrupted.
  void finish_batch() const;
};

struct RunnableCell {
  const Cell* cell = nullptr;
  int64_t id = 0;
};

// Decodes all prompts of the dataset, going on after those that the store has, scores the texts
// and marks the cell done.
void run_quality_cell(const SweepSession& session, RunnableCell cell, const SkipStrategy& strategy);

// Until end of text, a stop text or max_new_tokens. The result refers to `setup` and `dataset`; the
// session's also shows progress.
GenerateOptions natural_length(const SweepSetup& setup, const DatasetSection& dataset);
GenerateOptions natural_length(const SweepSession& session, const DatasetSection& dataset);

// Signatures of the data set's metrics, each once, in the configuration's order.
std::vector<std::string> asked_signatures(const DatasetSection& dataset, const SweepInputs& inputs);

// Whether the configuration asks for scores of a finished cell that the store lacks.
bool lacks_scores(const SweepSession& session, RunnableCell cell);

// Those scores, from stored texts; metrics of responses run the model.
void score_stored_outputs(const SweepSession& session, RunnableCell cell);

// Whether any score of a metric of responses is missing; and what is missing, measured batch by
// batch.
bool lacks_response_scores(const SweepSession& session, RunnableCell cell);
void measure_response_scores(const SweepSession& session, RunnableCell cell,
                             const SkipStrategy& strategy);

// The strategy of a cell, its threshold calibrated, and noted in the store, where it has one.
std::unique_ptr<SkipStrategy> strategy_of(const SweepSession& session, RunnableCell cell);

// Measures cells of one dataset and batch size side by side and marks them done. A cell that fails
// is recorded as failed; `on_failure` hears of it.
void run_timing_group(const SweepSession& session, std::span<const RunnableCell> cells,
                      MeasuredPeaks peaks,
                      const std::function<void(RunnableCell, const Failure&)>& on_failure);

// The work of a cell in the progress bar's unit.
double estimated_work(const SweepSetup& setup, const Cell& cell);

}  // namespace skipbench
