#include "eval/rescore.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "datasets/dataset.h"
#include "engine/base/error.h"
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

// The metric that `command` computed before, if it did.
std::optional<StoredExternalMetric> metric_of_command(ResultStore& store,
                                                      const std::string& command) {
  for (StoredExternalMetric& metric : external_metrics(store)) {
    if (metric.command == command) return std::move(metric);
  }
  return std::nullopt;
}

// The signature of the command's scores of the cell; empty: it has none.
std::string kept_signature(ResultStore& store, int64_t cell, const std::string& command) {
  Statement rows(store.database(),
                 "SELECT e.signature FROM external_metrics e WHERE e.command = ?2 AND"
                 " (SELECT count(*) FROM external_scores s WHERE s.cell_id = ?1 AND"
                 "  s.signature = e.signature) ="
                 " (SELECT count(*) FROM outputs o WHERE o.cell_id = ?1)");
  rows.bind(cell, command);
  return rows.step() ? rows.text(0) : "";
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

RescoreInput input_of(ResultStore& store, int64_t run, std::vector<RescoredCell*>& cells,
                      bool with_sources) {
  SourceLines sources(store, run);
  RescoreInput input;
  for (RescoredCell* cell : cells) {
    for (const OutputRecord& output : store.outputs(cell->id)) {
      cell->texts.push_back(output.text);
      cell->references.push_back(output.references);
    }
    if (with_sources) {
      for (std::string& line : sources.of(*cell)) input.sources.push_back(std::move(line));
    }
    input.texts.insert(input.texts.end(), cell->texts.begin(), cell->texts.end());
    input.references.insert(input.references.end(), cell->references.begin(),
                            cell->references.end());
  }
  return input;
}

int common_references(const RescoredCell& cell) {
  const size_t first = cell.references.front().size();
  const bool same =
      std::ranges::all_of(cell.references, [&](const auto& list) { return list.size() == first; });
  return same ? static_cast<int>(first) : 0;
}

// Scores of one table's column must be of one metric.
void check_same_metric(const StoredExternalMetric& before, const ExternalScores& now,
                       const std::string& command) {
  if (before.name == now.name && before.program_signature == now.program_signature) return;
  const auto shown = [](const std::string& name, const std::string& signature) {
    return signature.empty() ? name : name + ", " + signature;
  };
  throw Error({.what = "the program calls its metric something else than when it scored the run's "
                       "other outputs; nothing was written",
               .where = "`" + command + "`",
               .expected = shown(before.name, before.program_signature),
               .got = shown(now.name, now.program_signature),
               .hint = "score all outputs with --again"});
}

// `stats` holds the scores of all `cells`, one after another.
void write_scores(ResultStore& store, std::span<RescoredCell* const> cells,
                  const ExternalScores& found, const std::string& command) {
  int64_t next = 0;
  for (RescoredCell* cell : cells) {
    std::vector<double> scores;
    for (size_t i = 0; i < cell->texts.size(); ++i) scores.push_back(found.stats.row(next++)[0]);
    const int references = common_references(*cell);
    cell->signature = stored_signature(found.name, *found.metric, references);
    put_external_scores(store, cell->id,
                        {.signature = cell->signature,
                         .name = found.name,
                         .program_signature = found.program_signature,
                         .higher_is_better = found.metric->higher_is_better(),
                         .n_references = references,
                         .command = command},
                        scores);
  }
}

}  // namespace

RescoreSummary rescore(ResultStore& store, const RescoreRequest& request) {
  const int64_t run = find_run(store.database(), request.run);
  const std::string& command = request.program.command;
  std::vector<RescoredCell> cells = finished_cells(store, run);
  std::vector<RescoredCell*> missing;
  for (RescoredCell& cell : cells) {
    if (!request.again) cell.signature = kept_signature(store, cell.id, command);
    if (cell.signature.empty()) missing.push_back(&cell);
  }
  RescoreSummary summary{.scored = std::ssize(missing),
                         .kept = std::ssize(cells) - std::ssize(missing)};
  const auto before = metric_of_command(store, command);
  std::optional<ExternalScores> found;
  if (!missing.empty()) {
    const RescoreInput input = input_of(store, run, missing, request.with_sources);
    found = run_external_metric(request.program, input.sources, input.texts, input.references);
    if (summary.kept > 0) check_same_metric(*before, *found, command);
    summary.outputs = std::ssize(input.texts);
  }
  summary.name = found ? found->name : before->name;

  Transaction transaction(store.database());
  if (found) write_scores(store, missing, *found, command);
  for (const RescoredCell& cell : cells) {
    for (const int64_t ordinal : cell.ordinals) {
      ask_for_external_score(store, run, ordinal, cell.signature);
    }
  }
  transaction.commit();
  return summary;
}

}  // namespace skipbench
