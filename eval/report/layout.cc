#include "eval/report/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "engine/base/error.h"
#include "eval/report/columns.h"
#include "eval/report/row_statistics.h"
#include "eval/report/score_fields.h"

namespace skipbench {
namespace {

constexpr size_t kShownValues = 20;  // of a column, in a message

TableField fixed_field(const Column& column) {
  TableField field{column.name,       column.key,        column.definition,
                   column.on_request, column.if_present, column.text};
  if (column.value != nullptr) field.value = column.value;
  return field;
}

TableField dataset_field() {
  TableField field{"dataset", "dataset", ""};
  field.text = [](const TableRow& row) -> std::optional<std::string> { return row.dataset; };
  return field;
}

const TableField& find_field(const std::vector<TableField>& fields, const std::string& wanted,
                             const std::string& flag) {
  std::vector<std::string> known;
  for (const TableField& field : fields) {
    if (field.key == wanted || field.name == wanted) return field;
    known.push_back(field.key);
  }
  throw unknown_name("column", wanted, known, flag);
}

bool matches(const TableField& field, const TableRow& row, const std::string& wanted) {
  if (!field.value) {
    // A status may carry a message, "failed: ...".
    const std::string text = field.text(row).value_or("");
    return text == wanted || (field.key == "status" && row.status == wanted);
  }
  const auto value = field.value(row);
  if (!value) return wanted.empty();
  double number = 0;
  const auto [end, error] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), number);
  return error == std::errc() && end == wanted.data() + wanted.size() && *value == number;
}

bool matches_any(const TableField& field, const TableRow& row, const std::string& values) {
  for (size_t begin = 0; begin <= values.size();) {
    const size_t end = std::min(values.find(',', begin), values.size());
    if (matches(field, row, values.substr(begin, end - begin))) return true;
    begin = end + 1;
  }
  return false;
}

// What `matches` takes for a row, the empty text for no value.
std::string condition_value(const TableField& field, const TableRow& row) {
  if (field.key == "status") return row.status;
  if (!field.value) return field.text(row).value_or("");
  const auto value = field.value(row);
  return value ? fmt::format("{}", *value) : "";
}

// A condition that no row meets, with what it could have asked for.
Error no_row(const TableField& field, const std::vector<TableRow>& rows,
             const std::string& condition) {
  std::vector<std::string> values;
  for (const TableRow& row : rows) {
    std::string value = condition_value(field, row);
    if (std::find(values.begin(), values.end(), value) == values.end()) {
      values.push_back(std::move(value));
    }
  }
  std::string list;
  for (size_t i = 0; i < std::min(values.size(), kShownValues); ++i) {
    list += fmt::format("{}{}={}", i == 0 ? "" : ", ", field.key, values[i]);
  }
  if (values.size() > kShownValues) {
    list += fmt::format(" and {} more", values.size() - kShownValues);
  }
  return Error({.what = "no row matches", .where = "--where", .expected = list, .got = condition});
}

bool before(const TableField& field, const TableRow& a, const TableRow& b) {
  return field.value ? field.value(a) < field.value(b) : field.text(a) < field.text(b);
}

Grid cells_grid(const ResultTable& table, const std::string& dataset, const TableLayout& layout) {
  Grid grid{.title = dataset};
  const auto fields = chosen_fields(table, dataset, layout, /*all=*/false);
  for (const TableField& field : fields) grid.header.push_back(field.name);
  grid.text_columns = std::find_if(fields.begin(), fields.end(),
                                   [](const TableField& field) { return field.value != nullptr; }) -
                      fields.begin();
  for (const TableRow& row : table.rows) {
    if (row.dataset != dataset) continue;
    auto& cells = grid.rows.emplace_back();
    for (const TableField& field : fields) {
      cells.push_back({field.text(row).value_or(""), field.bold && field.bold(row)});
    }
  }
  for (const ScoreColumn& column : score_columns(table, dataset)) {
    const auto shown = [&](const TableField& field) { return field.name == column.title; };
    if (std::any_of(fields.begin(), fields.end(), shown)) {
      grid.notes.push_back(fmt::format("{}: `{}`", column.title, column.signature));
    }
  }
  return grid;
}

// One line of the paper's table: the rows of all data sets at one point.
struct PaperPoint {
  int64_t batch = 1;
  double target = 1;
  std::string strategy;
  auto operator<=>(const PaperPoint&) const = default;
};

const TableRow* find_row(const ResultTable& table, const PaperPoint& point,
                         const std::string& dataset) {
  for (const TableRow& row : table.rows) {
    if (row.dataset == dataset && row.batch == point.batch && row.target == point.target &&
        row.strategy == point.strategy) {
      return &row;
    }
  }
  return nullptr;
}

std::vector<PaperPoint> paper_points(const ResultTable& table) {
  std::vector<PaperPoint> points;
  for (const TableRow& row : table.rows) {
    if (!row.batch) continue;
    const PaperPoint point{*row.batch, row.target, row.strategy};
    if (std::find(points.begin(), points.end(), point) == points.end()) points.push_back(point);
  }
  // Strategies stay in the table's order.
  std::stable_sort(points.begin(), points.end(), [](const PaperPoint& a, const PaperPoint& b) {
    return a.batch != b.batch ? a.batch < b.batch : a.target < b.target;
  });
  return points;
}

// The mean over data sets; nothing unless all of them have the value.
template <typename Value>
std::string mean_text(const std::vector<const TableRow*>& rows, const char* format, Value value) {
  double sum = 0;
  for (const TableRow* row : rows) {
    const std::optional<double> one = row == nullptr ? std::nullopt : value(*row);
    if (!one) return "";
    sum += *one;
  }
  return fmt::format(fmt::runtime(format), sum / static_cast<double>(rows.size()));
}

std::string text_or_empty(const std::optional<double>& value, const char* format) {
  return value ? fmt::format(fmt::runtime(format), *value) : "";
}

void add_published(std::vector<GridCell>& cells, const PublishedNumbers& published,
                   const PaperPoint& point) {
  const auto total = published.total_per_second(point.batch, point.target, point.strategy);
  auto achieved = published.speedup(point.batch, point.target, point.strategy);
  if (achieved) achieved = *achieved / point.target;
  cells.push_back({text_or_empty(total, "{:g}")});
  cells.push_back({text_or_empty(achieved, "{:.2f}")});
}

std::vector<GridCell> paper_row(const ResultTable& table, const PaperPoint& point) {
  std::vector<GridCell> cells = {
      {std::to_string(point.batch)}, {fmt::format("{:g}x", point.target)}, {point.strategy}};
  std::vector<const TableRow*> rows;
  for (const std::string& dataset : datasets_of(table)) {
    const TableRow* row = find_row(table, point, dataset);
    rows.push_back(row);
    if (row == nullptr || row->scores.empty()) {
      cells.push_back({row == nullptr || row->status == cell_status::kDone ? "" : row->status});
    } else {
      cells.push_back({fmt::format("{:.2f}", row->scores[0].value), row->scores[0].best});
    }
  }
  cells.push_back({mean_text(rows, "{:.2f}", [](const TableRow& row) -> std::optional<double> {
    if (row.scores.empty()) return std::nullopt;
    return row.scores[0].value;
  })});
  cells.push_back(
      {mean_text(rows, "{:.1f}", [](const TableRow& row) { return row.total_per_second; })});
  cells.push_back({mean_text(rows, "{:.2f}", [](const TableRow& row) -> std::optional<double> {
    if (!row.total_speedup || !has_target(row)) return std::nullopt;
    return *row.total_speedup / row.target;
  })});
  return cells;
}

Grid paper_grid(const ResultTable& table, const std::optional<PublishedNumbers>& beside) {
  Grid grid{.header = {"batch", "target", "approach"}, .text_columns = 3};
  for (const std::string& dataset : datasets_of(table)) {
    const auto scores = score_columns(table, dataset);
    grid.header.push_back(scores.empty() ? dataset : dataset + " " + scores[0].title);
    if (!scores.empty()) {
      grid.notes.push_back(fmt::format("{}: `{}`", grid.header.back(), scores[0].signature));
    }
  }
  grid.header.insert(grid.header.end(), {"average", "total tok/s", "total speedup/target"});
  grid.notes.push_back(
      "total tok/s: prompt and output tokens over prefill and decode time, mean over data sets");
  grid.notes.push_back("total speedup/target: total tok/s over that of `full`, over the target");
  if (beside) {
    grid.header.push_back(beside->name + " total tok/s");
    grid.header.push_back(beside->name + " total speedup/target");
    grid.notes.push_back(fmt::format("{}: {}", beside->name, beside->source));
  }
  const std::vector<PaperPoint> points = paper_points(table);
  for (size_t i = 0; i < points.size(); ++i) {
    if (i > 0 && points[i].batch != points[i - 1].batch) grid.rules.push_back(i);
    grid.rows.push_back(paper_row(table, points[i]));
    if (beside) add_published(grid.rows.back(), *beside, points[i]);
  }
  return grid;
}

// By itself, in Markdown and LaTeX.
bool is_shown(const TableField& field, const ResultTable& table) {
  if (field.on_request) return false;
  return !field.if_present ||
         std::any_of(table.rows.begin(), table.rows.end(),
                     [&](const auto& row) { return field.text(row).has_value(); });
}

}  // namespace

std::vector<std::string> datasets_of(const ResultTable& table) {
  std::vector<std::string> names;
  for (const TableRow& row : table.rows) {
    if (std::find(names.begin(), names.end(), row.dataset) == names.end()) {
      names.push_back(row.dataset);
    }
  }
  return names;
}

std::vector<TableField> table_fields(const ResultTable& table, const std::string& dataset) {
  std::vector<TableField> fields;
  for (const Column& column : leading_columns()) fields.push_back(fixed_field(column));
  for (const ScoreColumn& column : score_columns(table, dataset)) {
    fields.push_back(score_field(column));
    if (table.comparison.empty()) continue;
    fields.push_back(p_value_field(column));
    fields.push_back(corrected_p_field(column, !table.shows_correction));
    for (TableField& field : interval_fields(column)) fields.push_back(std::move(field));
  }
  for (const Column& column : trailing_columns()) fields.push_back(fixed_field(column));
  return fields;
}

std::vector<TableField> chosen_fields(const ResultTable& table, const std::string& dataset,
                                      const TableLayout& layout, bool all) {
  std::vector<TableField> known = table_fields(table, dataset);
  // A score of another data set is a column that this one's table does not have.
  std::vector<TableField> anywhere = table_fields(table, "");
  known.insert(known.begin(), dataset_field());
  anywhere.insert(anywhere.begin(), dataset_field());
  std::vector<TableField> chosen;
  const auto add = [&](const std::string& key, const char* flag) {
    find_field(anywhere, key, flag);
    const auto same = [&](const TableField& field) {
      return field.key == key || field.name == key;
    };
    const auto found = std::find_if(known.begin(), known.end(), same);
    if (found != known.end() && std::none_of(chosen.begin(), chosen.end(), same)) {
      chosen.push_back(*found);
    }
  };
  for (const std::string& key : layout.rows) add(key, "--rows");
  for (const std::string& key : layout.columns) add(key, "--columns");
  if (!layout.columns.empty()) return chosen;
  for (size_t i = all ? 0 : 1; i < known.size(); ++i) {
    if (all || is_shown(known[i], table)) add(known[i].key, "--columns");
  }
  return chosen;
}

ResultTable arranged_rows(ResultTable table, const TableLayout& layout) {
  std::vector<TableField> fields = table_fields(table, "");
  fields.push_back(dataset_field());
  for (const std::string& condition : layout.where) {
    const size_t equals = condition.find('=');
    if (equals == std::string::npos) {
      throw Error({.what = "a condition without \"=\"",
                   .where = "--where",
                   .expected = "COLUMN=VALUE or COLUMN=VALUE,VALUE",
                   .got = condition});
    }
    const TableField& field = find_field(fields, condition.substr(0, equals), "--where");
    const std::string values = condition.substr(equals + 1);
    std::vector<TableRow> kept;
    for (const TableRow& row : table.rows) {
      if (matches_any(field, row, values)) kept.push_back(row);
    }
    if (kept.empty() && !table.rows.empty()) throw no_row(field, table.rows, condition);
    table.rows = std::move(kept);
  }
  for (size_t i = layout.rows.size(); i-- > 0;) {
    const TableField& field = find_field(fields, layout.rows[i], "--rows");
    std::stable_sort(table.rows.begin(), table.rows.end(),
                     [&](const TableRow& a, const TableRow& b) { return before(field, a, b); });
  }
  return table;
}

std::vector<Grid> table_grids(const ResultTable& table, const TableLayout& layout) {
  if (layout.name == "paper") return {paper_grid(table, layout.beside)};
  if (layout.beside) {
    throw Error({.what = "published numbers stand in the paper's layout alone",
                 .where = "--beside",
                 .expected = "--layout paper",
                 .got = "--layout " + layout.name});
  }
  if (layout.name != "cells") {
    const std::vector<std::string> known = {"cells", "paper"};
    throw unknown_name("layout", layout.name, known, "--layout");
  }
  std::vector<Grid> grids;
  for (const std::string& dataset : datasets_of(table)) {
    grids.push_back(cells_grid(table, dataset, layout));
  }
  return grids;
}

}  // namespace skipbench
