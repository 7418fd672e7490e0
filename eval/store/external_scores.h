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
  std::string signature;          // as in `scores`: "COMET|nrefs:1|external:COMET|by:...|..."
  std::string name;               // as the program calls it
  std::string program_signature;  // the program's own; may be empty
  bool higher_is_better = true;
  int n_references = 0;  // of every segment; 0 when it varies
  bool with_sources = true;
  std::string command;  // empty: it computes another metric since

  // Whether scores of both may stand in one column; the number of references aside.
  bool is_same_metric(const StoredExternalMetric& other) const {
    return name == other.name && program_signature == other.program_signature &&
           higher_is_better == other.higher_is_better && with_sources == other.with_sources;
  }
};

// Those that the file knows, by signature.
std::vector<StoredExternalMetric> external_metrics(Database& database);
std::optional<StoredExternalMetric> find_external_metric(Database& database,
                                                         const std::string& signature);

// Of the outputs of a quality cell in their order, [outputs]; empty: the metric never saw them.
// Throws StoreError where they are not as many as the outputs.
std::vector<double> external_scores(ResultStore& store, int64_t cell, const std::string& signature);

// Writes the metric in the place of one of this signature; scores of another metric under it, of
// any cell, are removed. In the caller's transaction, as what follows.
void put_external_metric(Database& database, const StoredExternalMetric& metric);
// Writes the cell's scores, one per output in their order, and their mean, in the place of those
// that it has under this metric's signature.
void put_external_scores(Database& database, int64_t cell, const StoredExternalMetric& metric,
                         std::span<const double> scores);
// The command computes `metric` from now on: what else it computed, with or without sources as
// `metric`, stays with the cells, but the run's table shows it no more.
void forget_other_metrics(Database& database, int64_t run, const StoredExternalMetric& metric);

// The run's table shows the metric of the cell at `ordinal`, behind the scores that it has.
void ask_for_external_score(Database& database, int64_t run, int64_t ordinal,
                            const std::string& signature);

// Of two files that are merged: the metrics that `output` does not know. Returns the name of one
// that both know otherwise; empty: none.
std::string copy_external_metrics(Database& input, Database& output);
void copy_external_scores(Database& input, int64_t from, Database& output, int64_t to,
                          const std::string& signature);

}  // namespace skipbench
