// Scores that another program gave to stored outputs (`skipbench rescore`).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/store/store.h"

namespace skipbench {

struct StoredExternalMetric {
  std::string signature;  // as in `scores`: "COMET|nrefs:1|external:COMET|by:...|version:..."
  std::string name;       // as the program calls it
  std::string program_signature;  // the program's own; may be empty
  bool higher_is_better = true;
  int n_references = 0;  // of every segment; 0 when it varies
  std::string command;
};

// Those that the file knows, by signature.
std::vector<StoredExternalMetric> external_metrics(ResultStore& store);
std::optional<StoredExternalMetric> find_external_metric(ResultStore& store,
                                                         const std::string& signature);

// Of the outputs of a quality cell in their order, [outputs]; empty: the metric never saw them.
std::vector<double> external_scores(ResultStore& store, int64_t cell, const std::string& signature);

// Writes the cell's scores, one per output in their order, and their mean, in the place of those
// that it has under this signature. In the caller's transaction.
void put_external_scores(ResultStore& store, int64_t cell, const StoredExternalMetric& metric,
                         std::span<const double> scores);

// The run's table shows the metric of the cell at `ordinal`, behind the scores that it has. In the
// caller's transaction.
void ask_for_external_score(ResultStore& store, int64_t run, int64_t ordinal,
                            const std::string& signature);

// Of two files that are merged: the metrics that `output` does not know, and a cell's scores.
void copy_external_metrics(Database& input, Database& output);
void copy_external_scores(Database& input, int64_t from, Database& output, int64_t to,
                          const std::string& signature);

}  // namespace skipbench
