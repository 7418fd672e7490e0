#include "eval/store/external_scores.h"

#include <fmt/format.h>

#include <numeric>

#include "eval/store/row_copy.h"

namespace skipbench {
namespace {

constexpr char kExternalColumns[] =
    "SELECT signature, name, program_signature, higher_is_better, n_references, with_sources,"
    " command FROM external_metrics";

StoredExternalMetric external_metric_of(const Statement& row) {
  return {.signature = row.text(0),
          .name = row.text(1),
          .program_signature = row.text(2),
          .higher_is_better = row.integer(3) != 0,
          .n_references = static_cast<int>(row.integer(4)),
          .with_sources = row.integer(5) != 0,
          .command = row.text(6)};
}

}  // namespace

std::vector<StoredExternalMetric> external_metrics(Database& database) {
  Statement rows(database, std::string(kExternalColumns) + " ORDER BY signature");
  std::vector<StoredExternalMetric> metrics;
  while (rows.step()) metrics.push_back(external_metric_of(rows));
  return metrics;
}

std::optional<StoredExternalMetric> find_external_metric(Database& database,
                                                         const std::string& signature) {
  Statement rows(database, std::string(kExternalColumns) + " WHERE signature = ?");
  if (!rows.bind(signature).step()) return std::nullopt;
  return external_metric_of(rows);
}

std::vector<double> external_scores(ResultStore& store, int64_t cell,
                                    const std::string& signature) {
  Statement rows(store.database(),
                 "SELECT score FROM external_scores WHERE cell_id = ? AND signature = ?"
                 " ORDER BY idx");
  rows.bind(cell, signature);
  std::vector<double> scores;
  while (rows.step()) scores.push_back(rows.real(0));
  if (scores.empty() || std::ssize(scores) == store.num_outputs(cell)) return scores;
  throw StoreError({.what = "results file: stored scores are damaged",
                    .where = fmt::format("{}: {}", store.database().path(), signature),
                    .expected = fmt::format("{} scores of cell {}", store.num_outputs(cell), cell),
                    .got = fmt::format("{}", scores.size()),
                    .hint = "score the outputs again: `skipbench rescore --again`"});
}

void put_external_metric(Database& database, const StoredExternalMetric& metric) {
  const auto known = find_external_metric(database, metric.signature);
  if (known && !(known->is_same_metric(metric) && known->command == metric.command)) {
    for (const char* table : {"external_scores", "scores"}) {
      Statement(database, fmt::format("DELETE FROM {} WHERE signature = ?", table))
          .bind(metric.signature)
          .run();
    }
  }
  Statement(database,
            "INSERT OR REPLACE INTO external_metrics(signature, name, program_signature,"
            " higher_is_better, n_references, with_sources, command) VALUES(?, ?, ?, ?, ?, ?, ?)")
      .bind(metric.signature, metric.name, metric.program_signature, metric.higher_is_better,
            metric.n_references, metric.with_sources, metric.command)
      .run();
}

void put_external_scores(Database& database, int64_t cell, const StoredExternalMetric& metric,
                         std::span<const double> scores) {
  Statement(database, "DELETE FROM external_scores WHERE cell_id = ? AND signature = ?")
      .bind(cell, metric.signature)
      .run();
  for (size_t i = 0; i < scores.size(); ++i) {
    Statement(database,
              "INSERT INTO external_scores(cell_id, signature, idx, score) VALUES(?, ?, ?, ?)")
        .bind(cell, metric.signature, static_cast<int64_t>(i), scores[i])
        .run();
  }
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  Statement(database,
            "INSERT OR REPLACE INTO scores(cell_id, signature, name, ordinal, score)"
            " VALUES(?, ?, ?, 0, ?)")
      .bind(cell, metric.signature, metric.name, sum / static_cast<double>(scores.size()))
      .run();
}

void forget_other_metrics(Database& database, int64_t run, const StoredExternalMetric& metric) {
  for (const StoredExternalMetric& other : external_metrics(database)) {
    if (other.command != metric.command || other.with_sources != metric.with_sources ||
        other.is_same_metric(metric)) {
      continue;
    }
    Statement(database, "UPDATE external_metrics SET command = '' WHERE signature = ?")
        .bind(other.signature)
        .run();
    Statement(database, "DELETE FROM run_scores WHERE run_id = ? AND signature = ?")
        .bind(run, other.signature)
        .run();
  }
}

void ask_for_external_score(Database& database, int64_t run, int64_t ordinal,
                            const std::string& signature) {
  Statement known(database,
                  "SELECT 1 FROM run_scores WHERE run_id = ? AND ordinal = ? AND signature = ?");
  if (known.bind(run, ordinal, signature).step()) return;
  Statement(database,
            "INSERT INTO run_scores(run_id, ordinal, position, signature)"
            " SELECT ?1, ?2, coalesce(max(position), -1) + 1, ?3 FROM run_scores"
            " WHERE run_id = ?1 AND ordinal = ?2")
      .bind(run, ordinal, signature)
      .run();
}

std::string copy_external_metrics(Database& input, Database& output) {
  for (const StoredExternalMetric& theirs : external_metrics(input)) {
    const auto ours = find_external_metric(output, theirs.signature);
    if (!ours) {
      put_external_metric(output, theirs);
    } else if (!ours->is_same_metric(theirs)) {
      return theirs.name;
    }
  }
  return "";
}

void copy_external_scores(Database& input, int64_t from, Database& output, int64_t to,
                          const std::string& signature) {
  Statement rows(input, "SELECT * FROM external_scores WHERE cell_id = ? AND signature = ?");
  rows.bind(from, signature);
  while (rows.step()) copy_row(rows, output, "external_scores", {{"cell_id", to}});
}

}  // namespace skipbench
