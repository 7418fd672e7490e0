// Two results files side by side, as text.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "engine/base/error.h"
#include "eval/report/file_comparison.h"
#include "eval/report/grid.h"
#include "eval/report/score_fields.h"

namespace skipbench {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::optional<double> layers_of(const TableRow& row) {
  if (!row.layers) return std::nullopt;
  return row.layers->mean;
}

std::optional<double> ratio_of(std::optional<double> a, std::optional<double> b) {
  if (!a || !b || *a <= 0) return std::nullopt;
  return *b / *a;
}

std::string both(std::optional<double> a, std::optional<double> b, int digits) {
  if (!a && !b) return "";
  const auto text = [digits](std::optional<double> value) {
    return value ? fmt::format("{:.{}f}", *value, digits) : std::string("-");
  };
  return text(a) + " / " + text(b);
}

struct FileScoreColumn {
  std::string name, signature;
  std::string header;  // the name, numbered where several signatures have it
  double most = 0;     // of both files' scores, without sign
};

// Of the points of one data set, as they are met.
std::vector<FileScoreColumn> file_score_columns(const FileComparison& comparison,
                                                const std::string& dataset) {
  std::vector<FileScoreColumn> columns;
  for (const PointPair& point : comparison.points) {
    if (point.a.dataset != dataset) continue;
    for (const ScorePair& score : point.scores) {
      const auto same = [&](const FileScoreColumn& column) {
        return column.name == score.name && column.signature == score.signature;
      };
      const double most = std::max(std::abs(score.a), std::abs(score.b));
      const auto known = std::ranges::find_if(columns, same);
      if (known != columns.end()) {
        known->most = std::max(known->most, most);
        continue;
      }
      const auto number = 1 + std::ranges::count(columns, score.name, &FileScoreColumn::name);
      columns.push_back({score.name, score.signature,
                         number == 1 ? score.name : fmt::format("{} #{}", score.name, number),
                         most});
    }
  }
  return columns;
}

Grid grid_of(const FileComparison& comparison, const std::string& dataset) {
  const std::vector<FileScoreColumn> columns = file_score_columns(comparison, dataset);
  Grid grid{.title = dataset, .header = {"strategy", "target", "batch"}};
  for (const FileScoreColumn& column : columns) {
    grid.header.insert(grid.header.end(), {column.header, "B - A"});
    if (comparison.test) grid.header.push_back("p");
  }
  grid.header.insert(grid.header.end(),
                     {"texts differ", "layers", "decode tok/s", "B / A", "speedup"});
  for (const PointPair& point : comparison.points) {
    if (point.a.dataset != dataset) continue;
    const TableRow &a = point.a, &b = point.b;
    std::vector<std::string> cells = {a.strategy, fmt::format("{:g}", a.target),
                                      a.batch ? std::to_string(*a.batch) : ""};
    for (const FileScoreColumn& column : columns) {
      const auto score = std::ranges::find_if(point.scores, [&](const ScorePair& pair) {
        return pair.name == column.name && pair.signature == column.signature;
      });
      const bool there = score != point.scores.end();
      const int digits = score_digits(column.signature, column.most);
      cells.push_back(there ? both(score->a, score->b, digits) : "");
      cells.push_back(there ? fmt::format("{:+.{}f}", score->b - score->a, digits) : "");
      if (comparison.test) cells.push_back(there && score->p_value ? p_text(*score->p_value) : "");
    }
    const auto decode_b = point.same_batch ? b.decode_per_second : std::nullopt;
    const auto ratio = ratio_of(a.decode_per_second, decode_b);
    cells.push_back(point.texts_differ ? fmt::format("{:.1f}%", 100 * *point.texts_differ) : "");
    cells.push_back(both(layers_of(a), layers_of(b), 2));
    cells.push_back(both(a.decode_per_second, decode_b, 1));
    cells.push_back(ratio ? fmt::format("{:.2f}", *ratio) : "");
    cells.push_back(both(a.speedup, point.same_batch ? b.speedup : std::nullopt, 2));
    std::vector<GridCell>& row = grid.rows.emplace_back();
    for (std::string& cell : cells) row.push_back({std::move(cell)});
  }
  return grid;
}

std::string made_by(const RunRecord& run) {
  return fmt::format(
      "{}, commit {}{}, model {}", run.provenance.device_name, run.provenance.commit.substr(0, 9),
      run.provenance.dirty_hash.empty() ? "" : " with changes", run.model_hash.substr(0, 8));
}

// What a reader must know of the points: settings that differ, what has no result or no score.
std::vector<std::string> notes_of_points(std::span<const PointPair> points) {
  std::vector<std::string> notes, unscored;
  std::set<std::string> settings;
  for (const PointPair& point : points) {
    settings.insert(point.settings.begin(), point.settings.end());
    const bool scored = !point.a.scores.empty() && !point.b.scores.empty();
    if (scored && point.scores.empty()) unscored.push_back(point.a.strategy);
    for (const auto& [file, row] : {std::pair("A", &point.a), {"B", &point.b}}) {
      if (row->status == cell_status::kDone) continue;
      notes.push_back(fmt::format("{} {:g}x in {}: {}{}{}.", row->strategy, row->target, file,
                                  row->status, row->message.empty() ? "" : ": ", row->message));
    }
  }
  if (!settings.empty()) {
    notes.push_back(
        fmt::format("Settings of A's and B's texts that differ: {}.", fmt::join(settings, ", ")));
  }
  if (!unscored.empty()) {
    notes.push_back(fmt::format("Without a score of the same signature in both files: {}.",
                                fmt::join(unscored, ", ")));
  }
  return notes;
}

std::vector<std::string> notes(const FileComparison& comparison) {
  std::vector<std::string> notes = {
      fmt::format("A: `{}` ({}).", comparison.file_a, made_by(comparison.table_a.run)),
      fmt::format("B: `{}` ({}).", comparison.file_b, made_by(comparison.table_b.run))};
  if (comparison.test) {
    const bool bootstrap = *comparison.test == PairedTest::kBootstrap;
    notes.push_back(fmt::format(
        "p: of the difference between B and A on the stored outputs, {}, seed {}.",
        bootstrap ? fmt::format("sacreBLEU's paired bootstrap, about half of a two-sided p, {} "
                                "resamples",
                                comparison.settings.resamples)
                  : fmt::format("two-sided approximate randomisation, {} trials",
                                comparison.settings.trials),
        comparison.settings.seed));
  }
  notes.push_back(
      "Speeds of the two files were not measured side by side: `skipbench regress` judges builds; "
      "a speedup is within its own file.");
  if (std::ranges::any_of(comparison.points, [](const PointPair& point) {
        return !point.same_data && !point.scores.empty();
      })) {
    notes.emplace_back(
        "Where `texts differ` is empty, the prompts or references are others, or the row is a mean "
        "over seeds: nothing is tested.");
  }
  std::ranges::move(notes_of_points(comparison.points), std::back_inserter(notes));
  for (const auto& [file, points] :
       {std::pair("A", &comparison.only_a), {"B", &comparison.only_b}}) {
    if (points->empty()) continue;
    std::string list;
    for (const std::string& point : *points) list += (list.empty() ? "" : "; ") + point;
    notes.push_back(fmt::format("Only in {}: {}.", file, list));
  }
  return notes;
}

std::string render_markdown(const FileComparison& comparison) {
  std::vector<std::string> datasets;
  for (const PointPair& point : comparison.points) {
    if (std::ranges::find(datasets, point.a.dataset) == datasets.end()) {
      datasets.push_back(point.a.dataset);
    }
  }
  std::string text;
  for (const std::string& dataset : datasets) text += markdown_grid(grid_of(comparison, dataset));
  for (const std::string& note : notes(comparison)) text += note + "\n";
  return text;
}

OrderedJson number(std::optional<double> value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson pair_json(std::optional<double> a, std::optional<double> b) {
  return {{"a", number(a)}, {"b", number(b)}};
}

OrderedJson point_json(const PointPair& point) {
  const TableRow &a = point.a, &b = point.b;
  OrderedJson json = {{"strategy", a.strategy}, {"target", a.target}, {"dataset", a.data_name}};
  if (!a.variant.empty()) json["variant"] = a.variant;
  json["batch"] = a.batch ? OrderedJson(*a.batch) : OrderedJson(nullptr);
  json["same_data"] = point.same_data;
  json["texts_differ"] = number(point.texts_differ);
  json["scores"] = OrderedJson::array();
  for (const ScorePair& score : point.scores) {
    json["scores"].push_back({{"name", score.name},
                              {"signature", score.signature},
                              {"a", score.a},
                              {"b", score.b},
                              {"p_value", number(score.p_value)}});
  }
  json["layers"] = pair_json(layers_of(a), layers_of(b));
  const auto at_batch = [&](std::optional<double> value) {
    return point.same_batch ? value : std::nullopt;
  };
  json["decode_tokens_per_second"] = pair_json(a.decode_per_second, at_batch(b.decode_per_second));
  json["speedup"] = pair_json(a.speedup, at_batch(b.speedup));
  json["differing_settings"] = point.settings;
  return json;
}

std::string render_json(const FileComparison& comparison) {
  OrderedJson json = {{"a", comparison.file_a}, {"b", comparison.file_b}};
  json["points"] = OrderedJson::array();
  for (const PointPair& point : comparison.points) json["points"].push_back(point_json(point));
  json["only_in_a"] = comparison.only_a;
  json["only_in_b"] = comparison.only_b;
  json["notes"] = notes(comparison);
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace

std::string render_comparison(const FileComparison& comparison, const std::string& format) {
  if (format == "md") return render_markdown(comparison);
  if (format == "json") return render_json(comparison);
  throw unknown_name("output format", format, std::vector<std::string>{"md", "json"}, "--output");
}

}  // namespace skipbench
