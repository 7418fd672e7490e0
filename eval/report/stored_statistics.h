// The metrics whose scores a results file holds, and what they sum up of the stored outputs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/metrics/metric.h"
#include "eval/metrics/metric_options.h"
#include "eval/metrics/response_metrics.h"
#include "eval/report/stored_config.h"
#include "eval/store/store.h"

namespace skipbench {

// A metric of a run's data set: one that its configuration names, or one that another program
// computed of the outputs (`skipbench rescore`).
struct StoredMetric {
  std::string name;
  MetricOptions options;
  std::unique_ptr<Metric> metric;
  const ResponseMetricEntry* responses = nullptr;  // null: it is of texts
  std::string external;                            // the signature of another program's; or empty
  int n_references = 0;                            // likewise

  // As it stands in the file, for texts with as many references.
  std::string signature(int references) const;
  // Whether a cell that is done may lack its scores.
  bool may_be_missing() const { return responses != nullptr || !external.empty(); }
};

// Throws Error for settings of a metric that this version does not know.
std::vector<StoredMetric> stored_metrics(ResultStore& store, int64_t run,
                                         const StoredDataset& dataset);

// Of each output of the quality cell `cell`, in the order of the data set's examples: the texts'
// statistics, or where the metric is one of responses those of the first references. No segment:
// the cell lacks its scores. Throws StoreError for a damaged file.
SegmentStats stored_statistics(ResultStore& store, int64_t cell, const StoredMetric& metric);

// False for error rates. Of a metric that is not known any more, true.
bool is_higher_better(ResultStore& store, const std::string& signature);

}  // namespace skipbench
