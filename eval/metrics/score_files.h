// Scores text files: what `skipbench score` does.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "eval/metrics/external.h"
#include "eval/metrics/registry.h"
#include "eval/metrics/score_format.h"
#include "eval/metrics/significance.h"

namespace skipbench {

struct MetricRequest {
  std::string name;  // of metric_table()
  MetricOptions options;
};

// One of all the paths may be "-": standard input.
struct ScoreFilesRequest {
  std::vector<MetricRequest> metrics = {{"bleu", {}}};
  std::vector<std::string> references;  // paths, at least one; plain text or gzip
  std::vector<std::string> hypotheses;  // paths, at least one; the first is the baseline
  std::string source;                   // path; only external metrics read it
  std::vector<ExternalRequest> external;
  std::string language;  // of the hypothesis, or a pair ("zh_CN", "en-zh"); empty: seen from the
                         // references
  bool force = false;    // score even with a tokenizer that does not fit
  std::function<void(const std::string&)> warn;  // of a metric that says little about the texts
  bool sentence_level = false;       // one score a line; BLEU then over the orders that occur
  bool confidence = false;           // bootstrap interval of every score
  std::optional<PairedTest> paired;  // of every other system against the first
  SignificanceSettings significance;
  ScoreFormat format = ScoreFormat::kJson;
  std::optional<int> digits;  // after the point; without it JSON is unrounded and the rest has 1
};

// One system as JSON: a list with one object per score: sacreBLEU's fields name, score, signature,
// confidence_mean, confidence_var, verbose_score and the parts of the signature; ROUGE has
// precision and recall (percent) too. Several systems: one object per system with score, p_value,
// mean, ci and signature per score. Sentence level: one object per line. Text and LaTeX hold the
// same. Segment i is line i (split at LF alone) of every file. Throws Error for files that cannot
// be read, are not UTF-8, or differ in their number of lines, and for settings that do not fit
// (a tokenizer the texts, unless it is forced or written out: text_fit.h).
std::string score_files(const ScoreFilesRequest& request);

}  // namespace skipbench
