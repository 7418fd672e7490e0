// What a sweep keeps of its metrics of responses: sums per response and the drift of hidden states,
// batch by batch, so that a kill loses at most the batch at work.
#pragma once

#include <cstdint>
#include <optional>
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

// The next responses of the cell; their drift is added to what is there. One transaction.
void add_response_scores(ResultStore& store, int64_t cell, const std::string& prefix,
                         std::span<const ResponseScore> scores, const LayerDrift& drift);

// Sums over the decoding steps of all responses; none where there was no step. Of several prefixes
// the first.
std::optional<LayerDrift> layer_drift(ResultStore& store, int64_t cell);

}  // namespace skipbench
