#include "eval/report/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "eval/report/columns.h"

namespace skipbench {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string build_text(const Provenance& from) {
  std::string text = from.commit.substr(0, 12);
  if (!from.dirty_hash.empty()) text += " + uncommitted changes " + from.dirty_hash;
  return text;
}

std::string markdown_notes(const ResultTable& table, const TableLayout& layout) {
  std::string text;
  const std::vector<std::string> definitions = column_definitions(table, layout);
  if (!definitions.empty()) {
    text += "Columns:\n";
    for (const std::string& definition : definitions) text += "- " + definition + "\n";
    text += "\n";
  }
  if (!table.comparison.empty()) text += table.comparison + "\n\n";
  for (const std::string& line : provenance_notes(table)) text += line + "\n";
  return text;
}

std::string render_markdown(const ResultTable& table, const TableLayout& layout) {
  std::string text;
  for (const Grid& grid : table_grids(table, layout)) text += markdown_grid(grid);
  return text + markdown_notes(table, layout);
}

std::string render_latex(const ResultTable& table, const TableLayout& layout) {
  std::string text;
  for (Grid& grid : table_grids(table, layout)) {
    if (!table.comparison.empty()) grid.notes.push_back(table.comparison);
    text += latex_grid(grid);
  }
  return text;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted(1, '"');
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  quoted.push_back('"');
  return quoted;
}

std::string csv_line(const std::vector<std::string>& cells) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line += ',';
    line += csv_cell(cells[i]);
  }
  return line + "\n";
}

std::string exact(const TableField& field, const TableRow& row) {
  if (!field.value) return field.text(row).value_or("");
  const auto value = field.value(row);
  return value ? fmt::format("{}", *value) : "";
}

std::string render_csv(const ResultTable& table, const TableLayout& layout) {
  std::string text;
  if (layout.name != "cells") {
    for (const Grid& grid : table_grids(table, layout)) {
      text += csv_line(grid.header);
      for (const auto& row : grid.rows) {
        std::vector<std::string> cells;
        for (const GridCell& cell : row) cells.push_back(cell.text);
        text += csv_line(cells);
      }
    }
    return text;
  }
  const auto fields = chosen_fields(table, "", layout, /*all=*/true);
  std::vector<std::string> cells;
  for (const TableField& field : fields) cells.push_back(field.key);
  text += csv_line(cells);
  for (const TableRow& row : table.rows) {
    cells.clear();
    for (const TableField& field : fields) cells.push_back(exact(field, row));
    text += csv_line(cells);
  }
  return text;
}

OrderedJson value_json(const Column& column, const TableRow& row) {
  if (column.value == nullptr) return column.text(row).value_or("");
  const auto value = column.value(row);
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson row_json(const TableRow& row, bool compared) {
  OrderedJson json;
  json["dataset"] = row.data_name.empty() ? row.dataset : row.data_name;
  if (!row.variant.empty()) json["variant"] = row.variant;
  for (const Column& column : leading_columns()) json[column.key] = value_json(column, row);
  json["scores"] = OrderedJson::array();
  for (const TableScore& score : row.scores) {
    json["scores"].push_back(
        {{"name", score.name}, {"score", score.value}, {"signature", score.signature}});
    if (score.deviation) json["scores"].back()["deviation_over_seeds"] = *score.deviation;
    if (compared) {
      OrderedJson& last = json["scores"].back();
      last["p_value"] = score.p_value ? OrderedJson(*score.p_value) : OrderedJson(nullptr);
      last["best"] = score.best;
    }
  }
  for (const Column& column : trailing_columns()) json[column.key] = value_json(column, row);
  if (row.calibration) {
    const TableCalibration& found = *row.calibration;
    const bool is_threshold = found.parameter == "threshold";
    json["calibration"] = {
        {"parameter", found.parameter},
        {found.parameter, is_threshold ? OrderedJson(found.threshold) : OrderedJson(found.value)},
        {"budget", found.budget},
        {"realised_budget", found.realised_budget},
        {"on_target", found.on_target}};
  }
  json["seeds"] = row.seeds;
  if (row.layers) json["layers_per_text"] = {row.layers->text_low, row.layers->text_high};
  json["layers_deviation"] = row.layers ? OrderedJson(row.layers->deviation) : OrderedJson(nullptr);
  return json;
}

std::string render_json(const ResultTable& table) {
  const Provenance& from = table.run.provenance;
  OrderedJson json;
  json["rows"] = OrderedJson::array();
  for (const TableRow& row : table.rows) {
    json["rows"].push_back(row_json(row, !table.comparison.empty()));
  }
  if (!table.comparison.empty()) json["comparison"] = table.comparison;
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
                 {"config", OrderedJson::parse(table.run.config, nullptr, false)}};
  return json.dump(1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

// Empty where decoding is greedy.
std::string sampling_note(const StoredConfig& config) {
  if (config.temperature == 0) return "";
  return fmt::format("Texts were drawn: temperature {}, {}, seed {}.", config.temperature,
                     config.top_k == 0 ? "all tokens" : fmt::format("top_k {}", config.top_k),
                     config.seed);
}

// Of each strategy whose exits are replayed, under the label and at the targets that the table
// shows.
std::vector<std::string> replay_notes(const StoredConfig& config) {
  std::vector<std::string> notes;
  for (const StoredStrategy& strategy : config.strategies) {
    if (strategy.depths.empty()) continue;
    notes.push_back(
        fmt::format("{} {:g}x: exit depths replayed from {}, not decided by confidence.",
                    strategy.label, fmt::join(strategy.targets, "x, "), strategy.depths));
  }
  return notes;
}

}  // namespace

std::vector<std::string> column_definitions(const ResultTable& table, const TableLayout& layout) {
  std::vector<std::string> definitions;
  if (layout.name != "cells") return definitions;
  for (const TableField& field : chosen_fields(table, "", layout, /*all=*/false)) {
    // Signatures stand below the table of their data set.
    if (field.definition.empty() || field.definition.starts_with('`')) continue;
    definitions.push_back(field.name + ": " + field.definition);
  }
  return definitions;
}

std::vector<std::string> provenance_notes(const ResultTable& table) {
  const RunRecord& run = table.run;
  const Provenance& from = run.provenance;
  std::vector<std::string> notes;
  notes.push_back(fmt::format("Model {} ({} layers, {} activations and cache, hash {}).", run.model,
                              run.num_layers, table.config.dtype, run.model_hash.substr(0, 12)));
  for (const ResultStore::RunVariant& one : table.variants) {
    notes.push_back(fmt::format("{}: model {} ({} layers, {}, hash {}), device {} ({}).",
                                one.variant, one.model, one.num_layers, one.dtype,
                                one.model_hash.substr(0, 12), one.device, one.device_name));
  }
  notes.push_back(fmt::format("Device {} ({}), {} threads{}, load {:.2f} at the start.",
                              from.device, from.device_name, from.threads,
                              from.instruction_set.empty() ? "" : ", " + from.instruction_set,
                              from.load_average));
  if (const std::string draws = sampling_note(table.config); !draws.empty()) notes.push_back(draws);
  for (const std::string& note : replay_notes(table.config)) notes.push_back(note);
  if (table.peak_read_bytes_per_second > 0) {
    notes.push_back(fmt::format("Measured peaks: {:.2f} GB/s read, {:.1f} GFLOP/s.",
                                table.peak_read_bytes_per_second / 1e9,
                                table.peak_flops_per_second / 1e9));
  }
  notes.push_back(fmt::format("Commit {}; {}; {}.", build_text(from), from.compiler, from.flags));
  for (const std::string& build : table.other_builds) {
    notes.push_back(fmt::format("Some cells were measured by another build: {}.", build));
  }
  notes.push_back(fmt::format("Started {} by `{}`.", table.started, run.command));
  return notes;
}

std::string render_table(const ResultTable& table, const std::string& format,
                         const TableLayout& layout) {
  const ResultTable shown = arranged_rows(table, layout);
  if (format == "md") return render_markdown(shown, layout);
  if (format == "latex") return render_latex(shown, layout);
  if (format == "csv") return render_csv(shown, layout);
  if (format == "json") return render_json(shown);
  const std::vector<std::string> known = {"md", "latex", "csv", "json"};
  throw unknown_name("format", format, known, "-o");
}

}  // namespace skipbench
