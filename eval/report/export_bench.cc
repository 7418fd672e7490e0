#include "eval/report/export_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/base/error.h"
#include "eval/bench/row.h"
#include "eval/report/result_table.h"

namespace skipbench {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Sums over the batches of one repetition.
struct Repetition {
  double prefill_us = 0, decode_us = 0;
  double prompt_tokens = 0, decode_tokens = 0, rows = 0;
  double exit_test_us = 0;
};

struct TimedPoint {
  std::string strategy, dataset, variant;
  double target = 1;
  int64_t batch = 1;
  OrderedJson resolved;  // what the cell is identified by
  std::string test_time;
  CardDescription card;
  LibraryVersions libraries;
  std::vector<Repetition> repetitions;  // of the cell's last group
};

std::vector<TimedPoint> timed_points(ResultStore& store, int64_t run) {
  Statement rows(store.database(),
                 "SELECT r.ordinal, r.strategy, r.dataset, r.variant, r.target, r.batch,"
                 " sum(s.prefill_us), sum(s.decode_us), sum(s.prompt_tokens),"
                 " sum(s.decode_tokens), sum(s.rows), sum(s.exit_test_us), c.resolved, m.started,"
                 " m.driver, m.gpu_uuid, m.power_limit_watts, m.cuda_runtime, m.cublaslt"
                 " FROM run_cells r JOIN cells c ON"
                 " c.id = r.cell_id JOIN samples s ON s.cell_id = c.id AND s.group_id = c.group_id"
                 " JOIN timing_groups g ON g.id = c.group_id JOIN runs m ON m.id = g.run_id"
                 " WHERE r.run_id = ? AND c.kind = 'timing' AND"
                 " c.status = 'done' GROUP BY r.ordinal, s.repetition ORDER BY r.ordinal,"
                 " s.repetition");
  rows.bind(run);
  std::vector<TimedPoint> points;
  int64_t last = -1;
  while (rows.step()) {
    if (rows.integer(0) != last) {
      points.push_back({.strategy = rows.text(1),
                        .dataset = rows.text(2),
                        .variant = rows.text(3),
                        .target = rows.real(4),
                        .batch = rows.integer(5),
                        .resolved = OrderedJson::parse(rows.text(12), nullptr, false),
                        .test_time = rows.text(13),
                        .card = {.driver = rows.text(14), .uuid = rows.text(15)},
                        .libraries = {rows.text(17), rows.text(18)}});
      if (!rows.is_null(16)) points.back().card.power_limit_watts = rows.real(16);
    }
    last = rows.integer(0);
    points.back().repetitions.push_back(
        {rows.real(6), rows.real(7), rows.real(8), rows.real(9), rows.real(10), rows.real(11)});
  }
  return points;
}

// The texts of a list in the cell's identity; what it lacks stays as it is.
void take_texts(const OrderedJson& resolved, const char* key,
                const std::vector<std::string*>& into) {
  if (!resolved.is_object()) return;
  const auto list = resolved.find(key);
  if (list == resolved.end() || !list->is_array() || list->size() < into.size()) return;
  for (size_t i = 0; i < into.size(); ++i) {
    const OrderedJson& item = (*list)[i];
    if (into[i] != nullptr && item.is_string()) *into[i] = item.get<std::string>();
  }
}

// The build and machine that timed the cell, whatever run shows it. Neither type nor size of the
// model is in a results file.
BenchContext context_of(const ResultTable& table, const TimedPoint& point) {
  BenchContext context{.model = table.run.model,
                       .type_kv = table.config.dtype,
                       .test_time = point.test_time,
                       .provenance = table.run.provenance};
  for (const ResultStore::RunVariant& variant : table.variants) {
    if (variant.variant != point.variant) continue;
    context.model = variant.model;
    context.type_kv = variant.dtype;
    context.provenance.device = variant.device;
    context.provenance.device_name = variant.device_name;
  }
  Provenance& from = context.provenance;
  from.card = point.card;
  from.libraries = point.libraries;
  take_texts(point.resolved, "build", {&from.commit, &from.dirty_hash, &from.compiler});
  take_texts(point.resolved, "machine",
             {&from.device, &from.device_name, &from.cpu, nullptr, &from.instruction_set});
  if (point.resolved.is_object() && point.resolved.contains("machine")) {
    const OrderedJson& machine = point.resolved["machine"];
    if (machine.is_array() && machine.size() > 3 && machine[3].is_number_integer()) {
      from.threads = machine[3].get<int>();
    }
  }
  return context;
}

// `shown`: the table's row of the point, if there is one; a mean over seeds is none.
BenchRow bench_row(const TimedPoint& point, bool decoding, const TableRow* shown) {
  BenchRow row{
      .strategy = point.strategy, .target = point.target, .batch = static_cast<int>(point.batch)};
  double prompt = 0, generated = 0, decode_us = 0, test_us = 0;
  for (const Repetition& one : point.repetitions) {
    const double tokens = decoding ? one.decode_tokens : one.prompt_tokens;
    row.samples_ns.push_back(1e3 * (decoding ? one.decode_us : one.prefill_us));
    row.samples_ts.push_back(1e9 * tokens / row.samples_ns.back());
    prompt = one.prompt_tokens / one.rows;
    generated = one.decode_tokens / one.rows;
    decode_us += one.decode_us;
    test_us += one.exit_test_us;
  }
  (decoding ? row.n_depth : row.n_prompt) = static_cast<int>(std::lround(prompt));
  if (shown != nullptr) {
    if (const auto mib = shown->peak_memory_mib) {
      row.peak_memory_bytes = std::llround(*mib * (1 << 20));
    }
    row.sm_clock_mhz = shown->sm_clock_mhz;
    row.memory_clock_mhz = shown->memory_clock_mhz;
    row.clock_reasons = shown->clock_reasons;
    row.foreign_processes = shown->foreign_processes;
    row.foreign_memory_bytes = shown->foreign_memory_bytes;
  }
  if (!decoding) return row;
  row.n_gen = static_cast<int>(std::lround(generated));
  row.exit_test_share = test_us / decode_us;
  if (shown == nullptr) return row;
  row.layers = shown->timed_layers;
  row.speedup = shown->speedup;
  row.joules_per_token = shown->joules_per_token;
  return row;
}

const TableRow* shown_row(const ResultTable& table, const TimedPoint& point) {
  for (const TableRow& row : table.rows) {
    if (row.strategy == point.strategy && row.target == point.target &&
        row.data_name == point.dataset && row.variant == point.variant &&
        row.batch == point.batch && row.seeds == 1) {
      return &row;
    }
  }
  return nullptr;
}

std::string exit_depths_of(const ResultTable& table, const TimedPoint& point) {
  for (const StoredStrategy& strategy : table.config.strategies) {
    const bool has_target =
        std::ranges::find(strategy.targets, point.target) != strategy.targets.end();
    if (strategy.label == point.strategy && has_target) return strategy.depths;
  }
  return "";
}

// The rows of `bench`, with the data set and the point of a matrix.
OrderedJson llama_rows(const ResultTable& table, const std::vector<TimedPoint>& points) {
  OrderedJson rows = OrderedJson::array();
  for (const TimedPoint& point : points) {
    const BenchContext context = context_of(table, point);
    for (const bool decoding : {false, true}) {
      BenchRow row = bench_row(point, decoding, shown_row(table, point));
      if (decoding) row.exit_depths = exit_depths_of(table, point);
      OrderedJson json = bench_json(context, row);
      json["dataset"] = point.dataset;
      if (!point.variant.empty()) json["variant"] = point.variant;
      if (point.resolved.is_object() && point.resolved.contains("beam_search")) {
        json["beam_search"] = point.resolved["beam_search"].dump();
      }
      rows.push_back(std::move(json));
    }
  }
  return rows;
}

std::string point_name(const TimedPoint& point) {
  return fmt::format("{}{}{}/{}/target:{:g}/batch:{}", point.dataset,
                     point.variant.empty() ? "" : "/", point.variant, point.strategy, point.target,
                     point.batch);
}

OrderedJson google_benchmarks(const TimedPoint& point) {
  OrderedJson list = OrderedJson::array();
  int64_t index = 0;
  for (const Repetition& one : point.repetitions) {
    const double us = one.prefill_us + one.decode_us;
    list.push_back({{"name", point_name(point)},
                    {"run_name", point_name(point)},
                    {"run_type", "iteration"},
                    {"repetitions", point.repetitions.size()},
                    {"repetition_index", index++},
                    {"threads", 1},
                    {"iterations", 1},
                    {"real_time", us},
                    {"cpu_time", us},  // not measured apart; compare.py wants both
                    {"time_unit", "us"},
                    {"items_per_second", 1e6 * one.decode_tokens / one.decode_us}});
  }
  return list;
}

}  // namespace

std::string export_timings(ResultStore& store, const std::string& format,
                           std::optional<int64_t> run) {
  const std::vector<std::string> known = {"llama-bench", "google-benchmark", "exit-depths",
                                          "texts"};
  if (format != known[0] && format != known[1]) throw unknown_name("format", format, known, "--to");
  const ResultTable table = load_result_table(store, run);
  const std::vector<TimedPoint> points = timed_points(store, table.run_id);
  if (points.empty()) {
    throw Error({.what = "no timed cell is done", .where = store.database().path()});
  }
  OrderedJson json;
  if (format == known[0]) {
    json = llama_rows(table, points);
  } else {
    const Provenance& from = table.run.provenance;
    json["context"] = {{"date", table.started},           {"host_name", from.cpu},
                       {"executable", "skipbench"},       {"num_cpus", from.threads},
                       {"load_avg", {from.load_average}}, {"library_build_type", "release"},
                       {"skipbench_commit", from.commit}, {"model", table.run.model}};
    json["benchmarks"] = OrderedJson::array();
    for (const TimedPoint& point : points) {
      for (const OrderedJson& entry : google_benchmarks(point)) json["benchmarks"].push_back(entry);
    }
  }
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace skipbench
