// The one table of metrics.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "eval/metrics/metric.h"
#include "eval/metrics/metric_options.h"

namespace skipbench {

struct MetricEntry {
  std::string_view name;  // as in YAML and --metric
  std::string_view summary;
  // Throws Error naming `where` and the key for settings it does not know or cannot use.
  std::unique_ptr<Metric> (*make)(const MetricOptions& options, const std::string& where);
};
std::span<const MetricEntry> metric_table();

// A metric of texts. Throws Error with the known names, nearest first, for a name that is not in
// the table.
std::unique_ptr<Metric> make_metric(std::string_view name, const MetricOptions& options,
                                    const std::string& where = "");

// The same, and metrics of responses (eval/metrics/response_metrics.h), whose statistics a sweep
// measures.
std::unique_ptr<Metric> make_sweep_metric(std::string_view name, const MetricOptions& options,
                                          const std::string& where);

}  // namespace skipbench
