// The rows of a bench as text. The field names are llama-bench's (row.h), so that scripts written
// for its output read ours.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/error.h"
#include "eval/bench/bench.h"

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;

// What the rows' tests took beside time, where the machine says it.
std::string use_lines(std::span<const BenchRow> rows) {
  std::string joules, shared;
  std::map<std::vector<std::string>, std::string> slowed;  // by reasons
  for (const BenchRow& row : rows) {
    const std::string name =
        fmt::format("{} {:g}x, batch {}, {}", row.strategy, row.target, row.batch, row.test);
    if (row.joules_per_token) {
      joules += fmt::format("{}{} {:.3g}", joules.empty() ? "" : "; ", name, *row.joules_per_token);
    }
    if (row.foreign_processes.value_or(0) > 0) {
      shared += fmt::format("{}{} ({})", shared.empty() ? "" : "; ", name, *row.foreign_processes);
    }
    const auto words = clock_reason_words(row.clock_reasons.value_or(0));
    if (words.empty()) continue;
    std::string& names = slowed[words];
    names += (names.empty() ? "" : "; ") + name;
  }
  std::string lines;
  if (!joules.empty()) {
    lines += "J per output token, prompts included (of the whole card or of the CPU's packages): " +
             joules + "\n";
  }
  for (const auto& [words, names] : slowed) {
    lines += fmt::format("The card lowered its clocks for: {}, while it ran {}.\n",
                         fmt::join(words, "; "), names);
  }
  if (!shared.empty()) {
    lines +=
        fmt::format("Other processes computed on the card (how many) while it ran {}.\n", shared);
  }
  return lines;
}

std::string markdown(const BenchContext& context, std::span<const BenchRow> rows) {
  std::string text =
      "| model | threads | strategy | target | layers | batch | test | t/s | speedup |\n"
      "|---|---:|---|---:|---:|---:|---|---:|---:|\n";
  for (const BenchRow& row : rows) {
    text += fmt::format("| {} | {} | {} | {} | {:.4g} | {} | {} | {:.2f} ± {:.2f} | {:.2f} |\n",
                        context.model_type, context.provenance.threads, row.strategy, row.target,
                        row.layers.value_or(0), row.batch, row.test, mean_of(row.samples_ts),
                        deviation_of(row.samples_ts), row.speedup.value_or(0));
  }
  const Provenance& from = context.provenance;
  const std::string gpu = gpu_info(from);
  text += fmt::format(
      "\nmodel: {}; {}{} ({}); activations and cache {}; build {}{}\n"
      "t/s: mean ± deviation over repetitions, tokens of the whole batch (pp: prompt tokens, tg: "
      "tokens made by decoding steps). speedup: of medians, against `full` in this run.\n",
      context.model, gpu.empty() ? "" : gpu + ", ", from.cpu, from.instruction_set, context.type_kv,
      from.commit.substr(0, 10), from.dirty_hash.empty() ? "" : " with uncommitted changes");
  text += use_lines(rows);
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
    const Json json = bench_fields(context, row);
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
  for (const BenchRow& row : rows) list.push_back(bench_json(context, row));
  return list.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string json_lines(const BenchContext& context, std::span<const BenchRow> rows) {
  std::string text;
  for (const BenchRow& row : rows) {
    text += bench_json(context, row).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return text;
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
    Json json = bench_fields(context, row);
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
  if (format == "jsonl") return json_lines(context, rows);
  if (format == "sql") return sql(context, rows);
  const std::vector<std::string> known = {"md", "csv", "json", "jsonl", "sql"};
  throw unknown_name("output format", format, known, "-o");
}

}  // namespace skipbench
