#include "eval/report/stored_statistics.h"

#include <vector>

#include "eval/metrics/registry.h"
#include "eval/metrics/response_metrics.h"
#include "eval/store/response_scores.h"

namespace skipbench {

SegmentStats stored_statistics(ResultStore& store, int64_t cell, const std::string& name,
                               const MetricOptions& options, const Metric& metric) {
  if (find_response_metric(name) != nullptr) {
    return response_statistics(response_scores(store, cell, response_prefix(options)));
  }
  std::vector<std::string> texts;
  std::vector<std::vector<std::string>> references;
  for (const OutputRecord& output : store.outputs(cell)) {
    texts.push_back(output.text);
    references.push_back(output.references);
  }
  return segment_statistics(metric, texts, references);
}

}  // namespace skipbench
