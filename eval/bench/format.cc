// llama-bench's field names, so that scripts written for its output read ours; our own fields
// (strategy, target, batch, layers, speedup, exit_depths_from,
// exit_test_share) follow.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "engine/base/error.h"
#include "eval/bench/bench.h"

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Of a sample (n - 1), as llama-bench; 0 for a single value.
double deviation(std::span<const double> values) {
  if (values.size() < 2) return 0;
  const double center = mean(values);
  double sum = 0;
  for (double value : values) sum += (value - center) * (value - center);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

// One row as (field, value) pairs: the one list that csv, json and sql print.
Json fields(const BenchContext& context, const BenchRow& row) {
  const Provenance& from = context.provenance;
  Json json;
  json["build_commit"] = from.commit;
  json["build_dirty"] = from.dirty_hash;
  json["compiler"] = from.compiler;
  json["cpu_info"] = from.cpu;
  json["backends"] = from.device;
  json["instruction_set"] = from.instruction_set;
  json["model_filename"] = context.model;
  json["model_type"] = context.model_type;
  json["model_size"] = context.model_size;
  json["model_n_params"] = context.model_n_params;
  json["n_threads"] = from.threads;
  json["type_k"] = context.type_kv;
  json["type_v"] = context.type_kv;
  json["n_prompt"] = row.n_prompt;
  json["n_gen"] = row.n_gen;
  json["n_depth"] = row.n_depth;
  json["test_time"] = context.test_time;
  json["avg_ns"] = std::llround(mean(row.samples_ns));
  json["stddev_ns"] = std::llround(deviation(row.samples_ns));
  json["avg_ts"] = mean(row.samples_ts);
  json["stddev_ts"] = deviation(row.samples_ts);
  json["strategy"] = row.strategy;
  json["target"] = row.target;
  json["batch"] = row.batch;
  json["layers"] = row.layers;
  json["speedup"] = row.speedup;
  json["exit_depths_from"] = row.exit_depths;
  json["exit_test_share"] = row.exit_test_share;
  return json;
}

std::string markdown(const BenchContext& context, std::span<const BenchRow> rows) {
  std::string text =
      "| model | threads | strategy | target | layers | batch | test | t/s | speedup |\n"
      "|---|---:|---|---:|---:|---:|---|---:|---:|\n";
  for (const BenchRow& row : rows) {
    text += fmt::format("| {} | {} | {} | {} | {:.4g} | {} | {} | {:.2f} ± {:.2f} | {:.2f} |\n",
                        context.model_type, context.provenance.threads, row.strategy, row.target,
                        row.layers, row.batch, row.test, mean(row.samples_ts),
                        deviation(row.samples_ts), row.speedup);
  }
  const Provenance& from = context.provenance;
  text += fmt::format(
      "\nmodel: {}; {} ({}); activations and cache {}; build {}{}\n"
      "t/s: mean ± deviation over repetitions, tokens of the whole batch (pp: prompt tokens, tg: "
      "tokens made by decoding steps). speedup: of medians, against `full` in this run.\n",
      context.model, from.cpu, from.instruction_set, context.type_kv, from.commit.substr(0, 10),
      from.dirty_hash.empty() ? "" : " with uncommitted changes");
  std::set<std::string> replayed;
  for (const BenchRow& row : rows) {
    if (row.exit_depths.empty()) continue;
    replayed.insert(
        fmt::format("{} {:g}x: exit depths replayed from {}, not decided by confidence;"
                    " every test's head and signal are computed all the same.\n",
                    row.strategy, row.target, row.exit_depths));
  }
  for (const std::string& line : replayed) text += line;
  return text;
}

// RFC 4180: every text quoted, quotes doubled.
std::string csv_value(const Json& value) {
  if (!value.is_string()) return value.dump();
  std::string quoted = "\"";
  for (char c : value.get<std::string>()) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string csv(const BenchContext& context, std::span<const BenchRow> rows) {
  std::string text;
  for (const BenchRow& row : rows) {
    const Json json = fields(context, row);
    std::string header, line;
    for (const auto& [key, value] : json.items()) {
      if (!header.empty()) {
        header += ',';
        line += ',';
      }
      header += key;
      line += csv_value(value);
    }
    if (text.empty()) text = header + "\n";
    text += line + "\n";
  }
  return text;
}

std::string json_text(const BenchContext& context, std::span<const BenchRow> rows) {
  Json list = Json::array();
  for (const BenchRow& row : rows) {
    list.push_back(fields(context, row));
    list.back()["samples_ns"] = row.samples_ns;
    list.back()["samples_ts"] = row.samples_ts;
  }
  return list.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string sql_value(const Json& value) {
  if (!value.is_string()) return value.dump();
  std::string quoted = "'";
  for (char c : value.get<std::string>()) quoted += c == '\'' ? "''" : std::string(1, c);
  return quoted + "'";
}

std::string sql(const BenchContext& context, std::span<const BenchRow> rows) {
  std::string text;
  for (const BenchRow& row : rows) {
    Json json = fields(context, row);
    json["samples_ns"] = Json(row.samples_ns).dump();  // a JSON array in a TEXT column
    json["samples_ts"] = Json(row.samples_ts).dump();
    std::string columns, names, values;
    for (const auto& [key, value] : json.items()) {
      const char* type = value.is_string() ? "TEXT" : value.is_number_float() ? "REAL" : "INTEGER";
      columns += fmt::format("{}  {} {}", columns.empty() ? "" : ",\n", key, type);
      names += (names.empty() ? "" : ", ") + key;
      values += (values.empty() ? "" : ", ") + sql_value(value);
    }
    if (text.empty()) text = "CREATE TABLE IF NOT EXISTS skipbench_bench (\n" + columns + "\n);\n";
    text += "INSERT INTO skipbench_bench (" + names + ") VALUES (" + values + ");\n";
  }
  return text;
}

}  // namespace

std::string format_bench(const BenchContext& context, std::span<const BenchRow> rows,
                         const std::string& format) {
  if (format == "md") return markdown(context, rows);
  if (format == "csv") return csv(context, rows);
  if (format == "json") return json_text(context, rows);
  if (format == "sql") return sql(context, rows);
  const std::vector<std::string> known = {"md", "csv", "json", "sql"};
  throw unknown_name("output format", format, known, "-o");
}

}  // namespace skipbench
