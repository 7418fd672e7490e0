// Plain rates over texts that show what skipping breaks before any translation metric does.
#pragma once

#include <memory>

#include "eval/metrics/metric.h"
#include "eval/metrics/metric_options.h"

namespace skipbench {

// Percent of the output's n-grams that occurred earlier in the same output: loops. Lower is
// better. Settings: order (default 4), unit (word, the default: split at white space; char).
std::unique_ptr<Metric> make_repetition(const MetricOptions& options, const std::string& where);

// 100 * output length over reference length, in characters or words; of several references the mean
// length. Settings: unit (char, the default; word).
std::unique_ptr<Metric> make_length_ratio(const MetricOptions& options, const std::string& where);

// Percent of the outputs that are not, byte for byte, equal to one of their references: with the
// outputs of `full` as references, how often a strategy (or a batch size) changes anything. Lower
// is better.
std::unique_ptr<Metric> make_difference(const MetricOptions& options, const std::string& where);

}  // namespace skipbench
