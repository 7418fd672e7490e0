// Scores text files: what `skipbench score` does.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eval/metrics/registry.h"

namespace skipbench {

struct ScoreFilesRequest {
  std::string metric = "bleu";  // a name of metric_table()
  MetricOptions options;
  std::vector<std::string> references;  // paths, at least one; plain text or gzip
  std::string hypothesis;               // path
  std::string language;                 // of the hypothesis ("zh", "ja"), if known
  bool force = false;                   // score even with a tokenizer that does not fit
  std::optional<int> digits;            // after the point; unrounded without it
};

// A JSON list with one object per score: sacreBLEU's fields name, score, signature,
// verbose_score and the parts of the signature; ROUGE has precision and recall (percent) too.
// Segment i is line i (split at LF alone) of every file. Throws Error for files that cannot be
// read, are not UTF-8, or differ in their number of lines, and for settings that do not fit.
std::string score_files(const ScoreFilesRequest& request);

}  // namespace skipbench
