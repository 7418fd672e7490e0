// A metric that another program computes (COMET, BERTScore and the like). The program reads one
// JSON object per segment from stdin: {"source", "reference", "references", "hypothesis"}, and
// writes one JSON object to stdout: {"name", "scores": [one number per segment], and, if it likes,
// "signature" and "higher_is_better"}. docs/external-metrics.md has an example.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "eval/metrics/metric.h"

namespace skipbench {

struct ExternalRequest {
  std::string command;  // for /bin/sh
  double timeout_seconds = 3600;
};

// The score of a corpus is the mean of its segments', so that intervals and paired tests work as
// for our own metrics; the statistics are (score, 1).
struct ExternalScores {
  std::string name, program_signature;
  std::unique_ptr<Metric> metric;
  SegmentStats stats;
};

// The metric behind such scores. `program_signature`: what the program says of itself, or nothing.
std::unique_ptr<Metric> make_external_metric(const std::string& name,
                                             const std::string& program_signature,
                                             bool higher_is_better);
// The number of references of every segment; 0 when it varies.
int common_reference_count(std::span<const std::vector<std::string>> references);
SegmentStats external_statistics(std::span<const double> scores, int n_references);

// sources may be empty; else all three have the same length. Throws Error, with the end of what the
// program wrote to stderr, if it cannot be started, fails, takes too long, or answers with anything
// but what is asked for: wrong JSON, another number of scores, numbers that are not finite.
ExternalScores run_external_metric(const ExternalRequest& request,
                                   std::span<const std::string> sources,
                                   std::span<const std::string> hypotheses,
                                   std::span<const std::vector<std::string>> references);

}  // namespace skipbench
