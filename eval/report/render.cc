#include "eval/report/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "eval/report/columns.h"

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> datasets_of(const ResultTable& table) {
  std::vector<std::string> names;
  for (const TableRow& row : table.rows) {
    if (std::find(names.begin(), names.end(), row.dataset) == names.end()) {
      names.push_back(row.dataset);
    }
  }
  return names;
}

// A score's column: scores of one name under several settings are told apart by a number.
struct ScoreColumn {
  std::string title;
  std::string name;
  std::string signature;
};

std::vector<ScoreColumn> score_columns(const ResultTable& table, const std::string& dataset) {
  std::vector<ScoreColumn> columns;
  for (const TableRow& row : table.rows) {
    if (!dataset.empty() && row.dataset != dataset) continue;
    for (const TableScore& score : row.scores) {
      const auto same = [&](const ScoreColumn& column) {
        return column.name == score.name && column.signature == score.signature;
      };
      if (std::any_of(columns.begin(), columns.end(), same)) continue;
      const auto of_name = std::count_if(columns.begin(), columns.end(), [&](const auto& column) {
        return column.name == score.name;
      });
      columns.push_back({of_name == 0 ? score.name : fmt::format("{} #{}", score.name, of_name + 1),
                         score.name, score.signature});
    }
  }
  return columns;
}

const TableScore* find_score(const TableRow& row, const ScoreColumn& column) {
  for (const TableScore& score : row.scores) {
    if (score.name == column.name && score.signature == column.signature) return &score;
  }
  return nullptr;
}

// A bar or line break would end the cell.
std::string markdown_cell(std::string_view text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|') cell.push_back('\\');
    cell.push_back(c == '\n' ? ' ' : c);
  }
  return cell;
}

// Display width: the only characters beyond ASCII here are single-width ones.
size_t width_of(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

std::string markdown_rows(const std::vector<std::vector<std::string>>& grid) {
  std::vector<size_t> widths(grid.front().size());
  for (const auto& row : grid) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  for (size_t r = 0; r < grid.size(); ++r) {
    for (size_t i = 0; i < widths.size(); ++i) {
      const std::string padding(widths[i] - width_of(grid[r][i]), ' ');
      text += i == 0 ? "| " + grid[r][i] + padding : padding + grid[r][i];
      text += i + 1 == widths.size() ? " |\n" : " | ";
    }
    if (r > 0) continue;
    for (size_t i = 0; i < widths.size(); ++i) {
      text += fmt::format("|{}{}", std::string(widths[i] + 1, '-'), i == 0 ? "-" : ":");
    }
    text += "|\n";
  }
  return text;
}

std::string markdown_of_dataset(const ResultTable& table, const std::string& dataset) {
  const auto scores = score_columns(table, dataset);
  std::vector<std::vector<std::string>> grid(1);
  for (const Column& column : leading_columns()) grid[0].push_back(column.name);
  for (const ScoreColumn& column : scores) grid[0].push_back(column.title);
  for (const Column& column : trailing_columns()) grid[0].push_back(column.name);
  for (const TableRow& row : table.rows) {
    if (row.dataset != dataset) continue;
    auto& cells = grid.emplace_back();
    for (const Column& column : leading_columns()) {
      cells.push_back(markdown_cell(column.text(row).value_or("")));
    }
    for (const ScoreColumn& column : scores) {
      const TableScore* score = find_score(row, column);
      cells.push_back(score == nullptr ? "" : fmt::format("{:.2f}", score->value));
    }
    for (const Column& column : trailing_columns()) {
      cells.push_back(markdown_cell(column.text(row).value_or("")));
    }
  }
  std::string text = fmt::format("## {}\n\n{}\n", dataset, markdown_rows(grid));
  for (const ScoreColumn& column : scores) {
    text += fmt::format("- {}: `{}`\n", column.title, column.signature);
  }
  return text + (scores.empty() ? "" : "\n");
}

std::string build_text(const Provenance& from) {
  std::string text = from.commit.substr(0, 12);
  if (!from.dirty_hash.empty()) text += " + uncommitted changes " + from.dirty_hash;
  return text;
}

std::string markdown_notes(const ResultTable& table) {
  std::string text = "Columns:\n";
  for (const auto* columns : {&leading_columns(), &trailing_columns()}) {
    for (const Column& column : *columns) {
      if (!column.definition.empty()) {
        text += fmt::format("- {}: {}\n", column.name, column.definition);
      }
    }
  }
  const RunRecord& run = table.run;
  const Provenance& from = run.provenance;
  text += fmt::format("\nModel {} ({} layers, {} activations and cache, hash {}).\n", run.model,
                      run.num_layers, table.dtype, run.model_hash.substr(0, 12));
  text += fmt::format("Device {} ({}), {} threads{}, load {:.2f} at the start.\n", from.device,
                      from.device_name, from.threads,
                      from.instruction_set.empty() ? "" : ", " + from.instruction_set,
                      from.load_average);
  if (table.peak_read_bytes_per_second > 0) {
    text += fmt::format("Measured peaks: {:.2f} GB/s read, {:.1f} GFLOP/s.\n",
                        table.peak_read_bytes_per_second / 1e9, table.peak_flops_per_second / 1e9);
  }
  text += fmt::format("Commit {}; {}; {}.\n", build_text(from), from.compiler, from.flags);
  for (const std::string& build : table.other_builds) {
    text += fmt::format("Some cells were measured by another build: {}.\n", build);
  }
  return text + fmt::format("Started {} by `{}`.\n", table.started, run.command);
}

std::string render_markdown(const ResultTable& table) {
  std::string text;
  for (const std::string& dataset : datasets_of(table)) {
    text += markdown_of_dataset(table, dataset);
  }
  return text + markdown_notes(table);
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted(1, '"');
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  quoted.push_back('"');
  return quoted;
}

std::string exact(const Column& column, const TableRow& row) {
  if (column.value == nullptr) return column.text(row).value_or("");
  const auto value = column.value(row);
  return value ? fmt::format("{}", *value) : "";
}

std::string render_csv(const ResultTable& table) {
  const auto scores = score_columns(table, "");
  std::string text = "dataset";
  for (const Column& column : leading_columns()) text += "," + column.key;
  for (const ScoreColumn& column : scores) text += "," + csv_cell(column.title);
  for (const Column& column : trailing_columns()) text += "," + column.key;
  text += "\n";
  for (const TableRow& row : table.rows) {
    text += csv_cell(row.dataset);
    for (const Column& column : leading_columns()) text += "," + csv_cell(exact(column, row));
    for (const ScoreColumn& column : scores) {
      const TableScore* score = find_score(row, column);
      text += score == nullptr ? "," : fmt::format(",{}", score->value);
    }
    for (const Column& column : trailing_columns()) text += "," + csv_cell(exact(column, row));
    text += "\n";
  }
  return text;
}

Json value_json(const Column& column, const TableRow& row) {
  if (column.value == nullptr) return column.text(row).value_or("");
  const auto value = column.value(row);
  return value ? Json(*value) : Json(nullptr);
}

Json row_json(const TableRow& row) {
  Json json;
  json["dataset"] = row.dataset;
  for (const Column& column : leading_columns()) json[column.key] = value_json(column, row);
  json["scores"] = Json::array();
  for (const TableScore& score : row.scores) {
    json["scores"].push_back(
        {{"name", score.name}, {"score", score.value}, {"signature", score.signature}});
  }
  for (const Column& column : trailing_columns()) json[column.key] = value_json(column, row);
  if (row.calibration) {
    json["calibration"] = {{"threshold", row.calibration->threshold},
                           {"budget", row.calibration->budget},
                           {"realised_budget", row.calibration->realised_budget},
                           {"on_target", row.calibration->on_target}};
  }
  json["layers_deviation"] = row.layers ? Json(row.layers->deviation) : Json(nullptr);
  return json;
}

std::string render_json(const ResultTable& table) {
  const Provenance& from = table.run.provenance;
  Json json;
  json["rows"] = Json::array();
  for (const TableRow& row : table.rows) json["rows"].push_back(row_json(row));
  for (const auto* columns : {&leading_columns(), &trailing_columns()}) {
    for (const Column& column : *columns) {
      if (!column.definition.empty()) json["columns"][column.key] = column.definition;
    }
  }
  json["run"] = {{"started", table.started},
                 {"command", table.run.command},
                 {"model", table.run.model},
                 {"model_hash", table.run.model_hash},
                 {"num_layers", table.run.num_layers},
                 {"commit", from.commit},
                 {"dirty_hash", from.dirty_hash},
                 {"compiler", from.compiler},
                 {"flags", from.flags},
                 {"device", from.device},
                 {"device_name", from.device_name},
                 {"cpu", from.cpu},
                 {"threads", from.threads},
                 {"instruction_set", from.instruction_set},
                 {"load_average", from.load_average},
                 {"peak_read_bytes_per_second", table.peak_read_bytes_per_second},
                 {"peak_flops_per_second", table.peak_flops_per_second},
                 {"other_builds", table.other_builds},
                 {"config", Json::parse(table.run.config, nullptr, false)}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string render_table(const ResultTable& table, const std::string& format) {
  if (format == "md") return render_markdown(table);
  if (format == "csv") return render_csv(table);
  if (format == "json") return render_json(table);
  const std::vector<std::string> known = {"md", "csv", "json"};
  throw unknown_name("format", format, known, "-o");
}

}  // namespace skipbench
