// What a sweep keeps of its metrics of responses: sums per response and the drift of hidden states,
// batch by batch, so that a kill loses at most the batch at work.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "eval/metrics/response_metrics.h"
#include "eval/probe/divergence.h"
#include "eval/store/store.h"

namespace skipbench {

// Of the first responses of a quality cell, in the order of its data. `prefix`: the metrics'
// setting.
std::vector<ResponseScore> response_scores(ResultStore& store, int64_t cell,
                                           const std::string& prefix);
int64_t num_response_scores(ResultStore& store, int64_t cell, const std::string& prefix);

// The next responses of the cell; `steps`, entry 0 the prefill's, are added to what is there. One
// transaction.
void add_response_scores(ResultStore& store, int64_t cell, const std::string& prefix,
                         std::span<const ResponseScore> scores, std::span<const StepSums> steps);

// The prefixes with which responses of the cell were measured.
std::vector<std::string> measured_prefixes(ResultStore& store, int64_t cell);

struct StoredDrift {
  // Entry 0 the prefill's. Empty: there are none, or an older version measured some responses,
  // whose sums do not tell steps apart.
  std::vector<StepSums> steps;
  // All decoding steps together, texts once per step; of an older version's responses the hidden
  // states alone.
  StepSums decoding;
};

// Sums over all responses of the cell.
StoredDrift stored_drift(ResultStore& store, int64_t cell, const std::string& prefix);

}  // namespace skipbench
