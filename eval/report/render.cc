#include "eval/report/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "eval/report/columns.h"
#include "eval/report/notes.h"

namespace skipbench {
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson number_or_null(const std::optional<double>& number) {
  return number ? OrderedJson(*number) : OrderedJson();
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
  if (table.shows_correction && !table.correction.empty()) text += table.correction + "\n\n";
  const std::vector<std::string> reading = reading_notes(table);
  for (const std::string& line : reading) text += line + "\n";
  if (!reading.empty()) text += "\n";
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
    if (table.shows_correction && !table.correction.empty()) grid.notes.push_back(table.correction);
    for (std::string& note : untested_notes(table)) grid.notes.push_back(std::move(note));
    grid.remarks = row_notes(table);
    for (std::string& note : measuring_notes(table)) grid.remarks.push_back(std::move(note));
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

OrderedJson machine_names(const ResultTable& table, const std::vector<size_t>& machines) {
  OrderedJson names = OrderedJson::array();
  for (const size_t at : machines) names.push_back(machine_name(table.machines[at]));
  return names;
}

OrderedJson row_json(const ResultTable& table, const TableRow& row) {
  const bool compared = !table.comparison.empty();
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
      last["p_value_holm"] = score.p_holm ? OrderedJson(*score.p_holm) : OrderedJson(nullptr);
      if (score.p_holm) last["tests"] = score.tests;
      last["low"] = score.low ? OrderedJson(*score.low) : OrderedJson(nullptr);
      last["high"] = score.high ? OrderedJson(*score.high) : OrderedJson(nullptr);
      last["best"] = score.best;
      if (!score.untested.empty()) last["untested"] = score.untested;
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
  json["scored_on"] = machine_names(table, row.scored_on);
  json["seeds"] = row.seeds;
  if (row.layers) json["layers_per_text"] = {row.layers->text_low, row.layers->text_high};
  json["layers_deviation"] = row.layers ? OrderedJson(row.layers->deviation) : OrderedJson(nullptr);
  return json;
}

OrderedJson machines_json(const ResultTable& table) {
  OrderedJson list = OrderedJson::array();
  for (const MachineUse& use : machines_used(table)) {
    const Machine& machine = *use.machine;
    const auto known = [](double peak) { return peak > 0 ? OrderedJson(peak) : OrderedJson(); };
    list.push_back({{"machine", machine_name(machine)},
                    {"device", machine.device},
                    {"device_name", machine.device_name},
                    {"cpu", machine.cpu},
                    {"threads", machine.threads},
                    {"instruction_set", machine.instruction_set},
                    {"peak_read_bytes_per_second", known(machine.peak_read_bytes_per_second)},
                    {"peak_flops_per_second", known(machine.peak_flops_per_second)},
                    {"scored_cells", use.scored},
                    {"timed_cells", use.timed},
                    {"timings", use.timings}});
  }
  return list;
}

std::string render_json(const ResultTable& table) {
  const Provenance& from = table.run.provenance;
  OrderedJson json;
  json["rows"] = OrderedJson::array();
  for (const TableRow& row : table.rows) json["rows"].push_back(row_json(table, row));
  if (!table.comparison.empty()) {
    json["comparison"] = table.comparison;
    json["correction"] = table.correction;
    json["interval"] = table.interval;
  }
  for (const auto* columns : {&leading_columns(), &trailing_columns()}) {
    for (const Column& column : *columns) {
      if (!column.definition.empty()) json["columns"][column.key] = column.definition;
    }
  }
  json["machines"] = machines_json(table);
  if (const auto notes = reading_notes(table); !notes.empty()) json["notes"] = notes;
  json["other_runs"] = {{"runs", table.other_cells.runs}, {"cells", table.other_cells.cells}};
  json["run"] = {{"id", table.run_id},
                 {"started", table.started},
                 {"command", table.run.command},
                 {"model", table.run.model},
                 {"model_hash", table.run.model_hash},
                 {"num_layers", table.run.num_layers},
                 {"weights", table.weights},
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
                 {"driver", from.card.driver},
                 {"gpu_uuid", from.card.uuid},
                 {"power_limit_watts", number_or_null(from.card.power_limit_watts)},
                 {"cuda_runtime", from.libraries.cuda_runtime},
                 {"cublaslt", from.libraries.cublaslt},
                 {"peak_read_bytes_per_second", table.peak_read_bytes_per_second},
                 {"peak_flops_per_second", table.peak_flops_per_second},
                 {"other_builds", table.other_builds},
                 {"config", OrderedJson::parse(table.run.config, nullptr, false)}};
  return json.dump(1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
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
