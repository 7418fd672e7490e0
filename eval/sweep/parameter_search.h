// A search for a strategy's best parameters with what a sweep's configuration names: its model and
// adapter, the calibration split of a data set, its batch size and its metric.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/exit_search.h"
#include "eval/metrics/metric.h"
#include "eval/schedule_search.h"
#include "eval/sweep/setup.h"

namespace skipbench {

struct ParameterSearchRequest {
  StrategySpec strategy;   // at its target, with the parameters that are given
  std::string dataset;     // empty: the configuration's first
  int64_t batch_size = 0;  // 0: the configuration's largest
  int limit = 0;           // calibration prompts used, from the first; 0: as the search has it
  std::function<void()> on_batch;  // after each batch (^C through an exception)
  SearchProgress progress;
};

struct ScheduleSearchResult {
  std::vector<ScheduleCandidate> candidates;
  std::string by;  // the metric that decided, or "loss"
  size_t num_texts = 0;
  size_t reference_tokens = 0;
};

struct ExitSearchResult {
  std::vector<ExitCandidate> candidates;
  size_t num_prompts = 0;
};

class ParameterSearch {
 public:
  // The sweep's first entry of the strategy at this target gives its adapter and the parameters
  // that the request leaves out. `setup` must outlive this. Throws Error for an unknown data set
  // and for a given parameter that is searched or calibrated.
  ParameterSearch(const SweepSetup& setup, ParameterSearchRequest request);

  // What all candidates have in common.
  const StrategySpec& base() const { return base_; }
  const DatasetSection& dataset() const { return setup_.config.datasets[dataset_]; }
  bool has_entry() const { return cell_ != nullptr; }                             // in the sweep
  std::string adapter() const { return cell_ == nullptr ? "" : cell_->adapter; }  // a folder
  int64_t batch_size() const { return request_.batch_size; }

  // search_exits on the calibration prompts, the first 16 unless a limit is given.
  ExitSearchResult search_exits(const ExitGrid& grid, int repetitions);
  // search_schedules on the calibration references. The data set's first metric of texts decides,
  // as a quality cell decodes and scores; where it has none, or `by_loss`, the loss.
  ScheduleSearchResult search_schedules(std::span<const int> min_layers, bool by_loss);

 private:
  ScheduleTexts::Score decoded_score(const CalibrationTexts& data, const Metric& metric,
                                     const SkipStrategy& strategy);
  const SweepInputs& inputs() const { return setup_.inputs[dataset_]; }

  const SweepSetup& setup_;
  ParameterSearchRequest request_;
  size_t dataset_;
  const Cell* cell_;  // of the sweep; null where it has none
  StrategySpec base_;
  Model model_;
  Decoder decoder_;
};

}  // namespace skipbench
