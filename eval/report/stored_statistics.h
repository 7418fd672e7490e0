// What a metric sums up of the outputs that a results file holds.
#pragma once

#include <cstdint>
#include <string>

#include "eval/metrics/metric.h"
#include "eval/metrics/metric_options.h"
#include "eval/store/store.h"

namespace skipbench {

// Of each output of the quality cell `cell`, in the order of the data set's examples: the texts'
// statistics, or where the metric is one of responses those of the first references. `name` and
// `options` are what `metric` was made from. Throws StoreError for a damaged file.
SegmentStats stored_statistics(ResultStore& store, int64_t cell, const std::string& name,
                               const MetricOptions& options, const Metric& metric);

}  // namespace skipbench
