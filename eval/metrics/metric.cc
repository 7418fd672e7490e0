#include "eval/metrics/metric.h"

#include <fmt/format.h>

#include <cctype>

#include "engine/base/error.h"

namespace skipbench {

std::vector<double> SegmentStats::sum() const {
  std::vector<double> sums(n_stats, 0.0);
  for (int64_t segment = 0; segment < n_segments; ++segment) {
    const std::span<const double> stats = row(segment);
    for (int i = 0; i < n_stats; ++i) sums[i] += stats[i];
  }
  return sums;
}

SegmentStats segment_statistics(const Metric& metric, std::span<const std::string> hypotheses,
                                std::span<const std::vector<std::string>> references) {
  if (hypotheses.size() != references.size()) {
    throw Error({.what = "hypotheses and references differ in number",
                 .expected = fmt::format("{} hypotheses", references.size()),
                 .got = fmt::format("{}", hypotheses.size())});
  }
  if (hypotheses.empty())
    throw Error({.what = "there is no segment to score", .where = "hypotheses"});
  SegmentStats stats;
  stats.n_segments = static_cast<int64_t>(hypotheses.size());
  stats.n_stats = metric.n_stats();
  stats.n_references = static_cast<int>(references[0].size());
  stats.rows.resize(hypotheses.size() * stats.n_stats);
  for (size_t i = 0; i < hypotheses.size(); ++i) {
    if (references[i].empty())
      throw Error({.what = "no reference", .where = fmt::format("segment {}", i)});
    if (references[i].size() != references[0].size()) stats.n_references = 0;
    metric.segment_stats(hypotheses[i], references[i],
                         std::span(stats.rows).subspan(i * stats.n_stats, stats.n_stats));
  }
  return stats;
}

std::vector<Score> corpus_scores(const Metric& metric, std::span<const std::string> hypotheses,
                                 std::span<const std::vector<std::string>> references) {
  return metric.scores(segment_statistics(metric, hypotheses, references).sum());
}

Signature full_signature(const Metric& metric, int n_references) {
  Signature signature;
  signature.emplace_back("nrefs", n_references == 0 ? "var" : std::to_string(n_references));
  for (auto& setting : metric.settings()) signature.push_back(std::move(setting));
  signature.emplace_back("version", "skipbench-" SKIPBENCH_VERSION);
  return signature;
}

std::string stored_signature(std::string name, const Metric& metric, int n_references) {
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name + "|" + format_signature(full_signature(metric, n_references));
}

std::string format_signature(const Signature& signature) {
  std::string text;
  for (const auto& [key, value] : signature) {
    if (!text.empty()) text += '|';
    text += key + ':' + value;
  }
  return text;
}

}  // namespace skipbench
