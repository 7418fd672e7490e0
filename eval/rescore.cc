#include "eval/rescore.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "datasets/dataset.h"
#include "engine/base/error.h"
#include "eval/report/columns.h"
#include "eval/report/stored_config.h"
#include "eval/report/stored_runs.h"
#include "eval/store/external_scores.h"

namespace skipbench {
namespace {

// A finished quality cell and the lines of the run's table that show it.
struct RescoredCell {
  int64_t id = 0;
  std::string dataset;
  std::vector<int64_t> ordinals;
  std::string signature;  // of the scores that it keeps; empty: it has none yet
  std::vector<std::string> texts;
  std::vector<std::vector<std::string>> references;
};

std::vector<RescoredCell> finished_cells(ResultStore& store, int64_t run) {
  Statement rows(store.database(),
                 "SELECT c.id, r.dataset, r.ordinal FROM run_cells r JOIN cells c"
                 " ON c.id = r.cell_id WHERE r.run_id = ? AND c.kind = 'quality'"
                 " AND c.status = 'done' ORDER BY r.ordinal");
  rows.bind(run);
  std::vector<RescoredCell> cells;
  while (rows.step()) {
    const auto known = std::ranges::find(cells, rows.integer(0), &RescoredCell::id);
    auto& cell =
        known != cells.end()
            ? *known
            : cells.emplace_back(RescoredCell{.id = rows.integer(0), .dataset = rows.text(1)});
    cell.ordinals.push_back(rows.integer(2));
  }
  if (!cells.empty()) return cells;
  throw Error({.what = "the run has no finished outputs to score",
               .where = store.database().path(),
               .got = fmt::format("run {}", run),
               .hint = "`skipbench table --run list` names the runs; finish one, or name another"});
}

// What the command computed before, with or without sources as now: one metric, under a signature
// for each number of references.
std::vector<StoredExternalMetric> metrics_of_command(ResultStore& store,
                                                     const RescoreRequest& request) {
  std::vector<StoredExternalMetric> metrics = external_metrics(store.database());
  std::erase_if(metrics, [&](const StoredExternalMetric& metric) {
    return metric.command != request.program.command || metric.with_sources != request.with_sources;
  });
  return metrics;
}

// The signature of the cell's scores among those of `metrics`; empty: it has none.
std::string kept_signature(ResultStore& store, int64_t cell,
                           std::span<const StoredExternalMetric> metrics) {
  for (const StoredExternalMetric& metric : metrics) {
    if (!external_scores(store, cell, metric.signature).empty()) return metric.signature;
  }
  return "";
}

class SourceLines {
 public:
  SourceLines(ResultStore& store, int64_t run) : path_(store.database().path()) {
    Statement rows(store.database(), "SELECT config FROM runs WHERE id = ?");
    rows.bind(run).step();
    config_ = read_stored_config(rows.text(0), path_);
  }

  // Of the cell's outputs, from the files that the configuration names, if they hold their
  // references still.
  std::vector<std::string> of(const RescoredCell& cell) {
    const std::vector<Example>& examples = examples_of(cell.dataset);
    std::vector<std::string> sources;
    for (size_t i = 0; i < cell.references.size(); ++i) {
      if (i >= examples.size() || examples[i].references != cell.references[i]) {
        throw Error(
            {.what = fmt::format("the data set has changed since '{}' was scored: example "
                                 "{} has other references, or is gone",
                                 cell.dataset, i + 1),
             .where = file_of(cell.dataset),
             .expected = fmt::format("the {} examples of {}", cell.references.size(), path_),
             .got = fmt::format("{} examples", examples.size()),
             .hint = "restore the file, or give the program no sources with --no-sources"});
      }
      sources.push_back(examples[i].fields.at("source"));
    }
    return sources;
  }

 private:
  const DataFiles& files_of(const std::string& dataset) const {
    const auto found = std::ranges::find(config_.datasets, dataset, &StoredDataset::name);
    if (found != config_.datasets.end()) return found->files;
    throw StoreError({.what = fmt::format("the run's configuration has no data set '{}'", dataset),
                      .where = path_,
                      .hint = "give the program no sources with --no-sources"});
  }

  std::string file_of(const std::string& dataset) const { return files_of(dataset).source_file(); }

  const std::vector<Example>& examples_of(const std::string& dataset) {
    const auto found = examples_.find(dataset);
    if (found != examples_.end()) return found->second;
    try {
      return examples_.emplace(dataset, load_examples(files_of(dataset))).first->second;
    } catch (const Error& error) {
      ErrorParts parts = error.parts();
      if (parts.hint.empty()) {
        parts.hint = "the sources are read from there: restore it, or use --no-sources";
      }
      throw Error(std::move(parts));
    }
  }

  std::string path_;
  StoredConfig config_;
  std::map<std::string, std::vector<Example>> examples_;
};

// What the program gets: the outputs of all `cells`, one after another.
struct RescoreInput {
  std::vector<std::string> sources, texts;
  std::vector<std::vector<std::string>> references;
};

// Fills in the cell's texts and references.
void read_outputs(ResultStore& store, RescoredCell& cell) {
  for (const OutputRecord& output : store.outputs(cell.id)) {
    const bool is_next = output.index == std::ssize(cell.texts) && !output.references.empty();
    if (!is_next) break;
    cell.texts.push_back(output.text);
    cell.references.push_back(output.references);
  }
  const int64_t expected = store.num_outputs(cell.id);
  if (!cell.texts.empty() && std::ssize(cell.texts) == expected) return;
  throw StoreError(
      {.what = "results file: the outputs of a finished cell are damaged",
       .where = store.database().path(),
       .expected = fmt::format("outputs 0, 1, ... of '{}' with references", cell.dataset),
       .got = fmt::format("{} of {} in cell {}", cell.texts.size(), expected, cell.id),
       .hint = "restore a copy, or run its sweep again with --fresh"});
}

RescoreInput input_of(ResultStore& store, int64_t run, std::vector<RescoredCell*>& cells,
                      bool with_sources) {
  SourceLines sources(store, run);
  RescoreInput input;
  for (RescoredCell* cell : cells) {
    read_outputs(store, *cell);
    if (with_sources) {
      for (std::string& line : sources.of(*cell)) input.sources.push_back(std::move(line));
    }
    input.texts.insert(input.texts.end(), cell->texts.begin(), cell->texts.end());
    input.references.insert(input.references.end(), cell->references.begin(),
                            cell->references.end());
  }
  return input;
}

// As the metric is stored for texts with so many references. skipbench's version is not in it: the
// program computes, so scores of two versions may stand in one column.
StoredExternalMetric stored_metric(const ExternalScores& found, int n_references,
                                   const RescoreRequest& request) {
  Signature signature = {{"nrefs", n_references > 0 ? std::to_string(n_references) : "var"}};
  for (auto& setting : found.metric->settings()) signature.push_back(std::move(setting));
  if (!request.with_sources) signature.emplace_back("sources", "no");
  return {.signature = found.name + "|" + format_signature(signature),
          .name = found.name,
          .program_signature = found.program_signature,
          .higher_is_better = found.metric->higher_is_better(),
          .n_references = n_references,
          .with_sources = request.with_sources,
          .command = request.program.command};
}

// Whether tables have a column of this name, or would take it for one of another score's.
bool is_columns_name(const std::string& name) {
  for (const char* ending : {" p", " p Holm", " low", " high"}) {
    if (name.ends_with(ending)) return true;
  }
  const auto has = [&](const std::vector<Column>& columns) {
    return std::ranges::any_of(
        columns, [&](const Column& column) { return column.name == name || column.key == name; });
  };
  return has(leading_columns()) || has(trailing_columns());
}

void check_name(const ExternalScores& found, const std::string& command) {
  if (!is_columns_name(found.name)) return;
  throw Error({.what = "the program's metric has the name of a column that tables have already",
               .where = "`" + command + "`",
               .expected = "another \"name\"",
               .got = "'" + found.name + "'"});
}

// Scores of one table's column must be of one metric.
void check_same_metric(const StoredExternalMetric& before, const StoredExternalMetric& now) {
  if (before.is_same_metric(now)) return;
  const auto shown = [](const StoredExternalMetric& metric) {
    return fmt::format("{}{}{}{}", metric.name, metric.program_signature.empty() ? "" : ", ",
                       metric.program_signature,
                       metric.higher_is_better ? "" : " (lower is better)");
  };
  throw Error({.what = "the program's metric is another one than when it scored the run's other "
                       "outputs; nothing was written",
               .where = "`" + now.command + "`",
               .expected = shown(before),
               .got = shown(now),
               .hint = "score all outputs with --again"});
}

// One signature must mean one program.
void check_is_free(Database& database, const StoredExternalMetric& metric) {
  const auto known = find_external_metric(database, metric.signature);
  if (!known || known->command.empty() || known->command == metric.command) return;
  throw Error({.what = "another command has scored outputs under the same name and signature; "
                       "nothing was written",
               .where = metric.signature,
               .expected = "`" + known->command + "`",
               .got = "`" + metric.command + "`",
               .hint = "give the program a \"signature\" of its own, or replace the scores of the "
                       "other command with --again"});
}

// `found` holds the scores of all `cells`, one after another.
void write_scores(ResultStore& store, int64_t run, std::span<RescoredCell* const> cells,
                  const ExternalScores& found, const RescoreRequest& request) {
  Database& database = store.database();
  forget_other_metrics(database, run, stored_metric(found, 1, request));
  std::set<std::string> written;
  int64_t next = 0;
  for (RescoredCell* cell : cells) {
    std::vector<double> scores;
    for (size_t i = 0; i < cell->texts.size(); ++i) scores.push_back(found.stats.row(next++)[0]);
    const StoredExternalMetric metric =
        stored_metric(found, common_reference_count(cell->references), request);
    if (!request.again) check_is_free(database, metric);
    if (written.insert(metric.signature).second) put_external_metric(database, metric);
    cell->signature = metric.signature;
    put_external_scores(database, cell->id, metric, scores);
  }
}

}  // namespace

RescoreSummary rescore(ResultStore& store, const RescoreRequest& request) {
  const int64_t run = find_run(store.database(), request.run);
  std::vector<RescoredCell> cells = finished_cells(store, run);
  const std::vector<StoredExternalMetric> before = metrics_of_command(store, request);
  std::vector<RescoredCell*> missing;
  for (RescoredCell& cell : cells) {
    if (!request.again) cell.signature = kept_signature(store, cell.id, before);
    if (cell.signature.empty()) missing.push_back(&cell);
  }
  RescoreSummary summary{.scored = std::ssize(missing),
                         .kept = std::ssize(cells) - std::ssize(missing)};
  std::optional<ExternalScores> found;
  if (!missing.empty()) {
    const RescoreInput input = input_of(store, run, missing, request.with_sources);
    found = run_external_metric(request.program, input.sources, input.texts, input.references);
    check_name(*found, request.program.command);
    if (summary.kept > 0) check_same_metric(before.front(), stored_metric(*found, 1, request));
    summary.outputs = std::ssize(input.texts);
  }
  summary.name = found ? found->name : before.front().name;

  Transaction transaction(store.database());
  if (found) write_scores(store, run, missing, *found, request);
  for (const RescoredCell& cell : cells) {
    for (const int64_t ordinal : cell.ordinals) {
      ask_for_external_score(store.database(), run, ordinal, cell.signature);
    }
  }
  transaction.commit();
  return summary;
}

}  // namespace skipbench
