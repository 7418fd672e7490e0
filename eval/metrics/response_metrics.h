// What a model under a strategy thinks of given responses, token by token and teacher-forced: means
// over all response tokens of a corpus. The statistics come from a run of the model and not from
// texts, so a sweep has these metrics (eval/sweep/response_scores.cc) and `skipbench score` has
// not.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "eval/metrics/metric.h"
#include "eval/metrics/metric_options.h"

namespace skipbench {

// Of one response: sums over its tokens.
struct ResponseScore {
  int64_t tokens = 0;
  double nll = 0;        // - log p of the response's token, nats
  double kl = 0;         // KL(full || strategy) of the token's distributions, nats
  int64_t agreeing = 0;  // tokens whose most probable candidate is that of `full`
};

struct ResponseMetricEntry {
  std::string_view name;  // as in YAML
  std::string_view summary;
  bool against_full = false;  // a distance to `full`, of which `full` itself has none
};

// perplexity = exp(sum nll / tokens); kl = sum kl / tokens; top1 = 100 * agreeing / tokens.
std::span<const ResponseMetricEntry> response_metric_table();

// Null where `name` is no metric of responses.
const ResponseMetricEntry* find_response_metric(std::string_view name);

// Setting: `prefix`, what stands between prompt and response, such as the blank after a colon; it
// is read as part of the response's first token. Throws Error as make_metric does. The metric's
// segment_stats must not be called.
std::unique_ptr<Metric> make_response_metric(const ResponseMetricEntry& entry,
                                             const MetricOptions& options,
                                             const std::string& where);

// The setting `prefix`, empty by default.
std::string response_prefix(const MetricOptions& options);

// What such a metric's scores are a function of.
SegmentStats response_statistics(std::span<const ResponseScore> responses);

}  // namespace skipbench
