// A metric is per-segment sufficient statistics plus a function of their sum (as in
// mjpost/sacrebleu): corpus score, sentence score, bootstrap and paired tests need no
// metric-specific code. A signature travels with every score.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skipbench {

struct Score {
  std::string name;                         // "BLEU", "ROUGE-1"
  double score = 0;                         // 0 to 100
  std::string verbose;                      // sacreBLEU's verbose_score; empty where there is none
  std::optional<double> precision, recall;  // 0 to 100, ROUGE only
};

// Ordered (key, value) pairs, printed as "key:value|key:value".
using Signature = std::vector<std::pair<std::string, std::string>>;

class Metric {
 public:
  virtual ~Metric() = default;

  // Numbers per segment; all of them add up over segments.
  virtual int n_stats() const = 0;

  // Statistics of one hypothesis against its references (at least one). Texts are UTF-8; bad
  // bytes count as U+FFFD. Safe to call from several threads.
  virtual void segment_stats(std::string_view hypothesis, std::span<const std::string> references,
                             std::span<double> stats) const = 0;  // stats: [n_stats]

  // The scores that a sum of segment statistics gives; always the same names in the same order.
  virtual std::vector<Score> scores(std::span<const double> sums) const = 0;  // sums: [n_stats]

  // False for error rates: a difference below zero is an improvement then.
  virtual bool higher_is_better() const { return true; }

  // The settings that change the score, without the number of references and the version.
  virtual Signature settings() const = 0;
};

// Statistics of a corpus.
struct SegmentStats {
  int64_t n_segments = 0;
  int n_stats = 0;
  int n_references = 0;      // of every segment; 0 when it varies
  std::vector<double> rows;  // [n_segments, n_stats]

  std::span<const double> row(int64_t segment) const {
    return std::span(rows).subspan(segment * n_stats, n_stats);
  }
  std::vector<double> sum() const;  // [n_stats]
};

// hypotheses: [n_segments]; references: [n_segments][references of that segment, at least one].
// Throws Error when the lengths differ, there is no segment, or a segment has no reference.
SegmentStats segment_statistics(const Metric& metric, std::span<const std::string> hypotheses,
                                std::span<const std::vector<std::string>> references);

std::vector<Score> corpus_scores(const Metric& metric, std::span<const std::string> hypotheses,
                                 std::span<const std::vector<std::string>> references);

// nrefs, the metric's settings and version:skipbench-X.Y.Z; n_references 0 is written "var".
Signature full_signature(const Metric& metric, int n_references);

// As it stands in a results file, behind the metric's name in capitals: "BLEU|nrefs:1|...".
std::string stored_signature(std::string name, const Metric& metric, int n_references);

std::string format_signature(const Signature& signature);

}  // namespace skipbench
