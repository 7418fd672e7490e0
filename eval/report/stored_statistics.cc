#include "eval/report/stored_statistics.h"

#include <algorithm>
#include <cctype>

#include "eval/metrics/external.h"
#include "eval/metrics/registry.h"
#include "eval/store/external_scores.h"
#include "eval/store/response_scores.h"

namespace skipbench {
namespace {

// The metric's name stands first in its signature, in capitals.
bool is_signature_of(const std::string& signature, std::string_view metric) {
  return std::ranges::equal(signature.substr(0, signature.find('|')), metric, [](char a, char b) {
    return a == static_cast<char>(std::toupper(static_cast<unsigned char>(b)));
  });
}

// Those of the run's external metrics that its table shows of the data set.
std::vector<std::string> asked_external(ResultStore& store, int64_t run,
                                        const std::string& dataset) {
  Statement rows(store.database(),
                 "SELECT DISTINCT s.signature FROM run_scores s JOIN run_cells c"
                 " ON c.run_id = s.run_id AND c.ordinal = s.ordinal"
                 " JOIN external_metrics e ON e.signature = s.signature"
                 " WHERE s.run_id = ? AND c.dataset = ? ORDER BY s.signature");
  rows.bind(run, dataset);
  std::vector<std::string> signatures;
  while (rows.step()) signatures.push_back(rows.text(0));
  return signatures;
}

}  // namespace

std::string StoredMetric::signature(int references) const {
  return external.empty() ? stored_signature(name, *metric, references) : external;
}

std::vector<StoredMetric> stored_metrics(ResultStore& store, int64_t run,
                                         const StoredDataset& dataset) {
  std::vector<StoredMetric> metrics;
  for (const auto& [name, options] : dataset.metrics) {
    metrics.push_back({.name = name,
                       .options = options,
                       .metric = make_sweep_metric(name, options, "stored metric " + name),
                       .responses = find_response_metric(name)});
  }
  for (const std::string& signature : asked_external(store, run, dataset.name)) {
    const auto found = find_external_metric(store.database(), signature);
    metrics.push_back({.name = found->name,
                       .metric = make_external_metric(found->name, found->program_signature,
                                                      found->higher_is_better),
                       .external = signature,
                       .n_references = found->n_references});
  }
  return metrics;
}

SegmentStats stored_statistics(ResultStore& store, int64_t cell, const StoredMetric& metric) {
  if (!metric.external.empty()) {
    return external_statistics(external_scores(store, cell, metric.external), metric.n_references);
  }
  if (metric.responses != nullptr) {
    return response_statistics(response_scores(store, cell, response_prefix(metric.options)));
  }
  std::vector<std::string> texts;
  std::vector<std::vector<std::string>> references;
  for (const OutputRecord& output : store.outputs(cell)) {
    texts.push_back(output.text);
    references.push_back(output.references);
  }
  return segment_statistics(*metric.metric, texts, references);
}

bool is_higher_better(ResultStore& store, const std::string& signature) {
  if (const auto external = find_external_metric(store.database(), signature)) {
    return external->higher_is_better;
  }
  for (const MetricEntry& entry : metric_table()) {
    if (is_signature_of(signature, entry.name)) return entry.make({}, "")->higher_is_better();
  }
  for (const ResponseMetricEntry& entry : response_metric_table()) {
    if (!is_signature_of(signature, entry.name)) continue;
    return make_response_metric(entry, {}, "")->higher_is_better();
  }
  return true;
}

}  // namespace skipbench
