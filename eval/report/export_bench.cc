#include "eval/report/export_bench.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/base/error.h"
#include "eval/report/result_table.h"

namespace skipbench {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Sums over the batches of one repetition.
struct Repetition {
  double prefill_us = 0, decode_us = 0;
  double prompt_tokens = 0, decode_tokens = 0, rows = 0;
};

struct TimedPoint {
  std::string strategy, dataset, variant;
  double target = 1;
  int64_t batch = 1;
  std::vector<Repetition> repetitions;  // of the cell's last group
};

std::vector<TimedPoint> timed_points(ResultStore& store) {
  Statement rows(store.database(),
                 "SELECT r.ordinal, r.strategy, r.dataset, r.variant, r.target, r.batch,"
                 " sum(s.prefill_us), sum(s.decode_us), sum(s.prompt_tokens),"
                 " sum(s.decode_tokens), sum(s.rows) FROM run_cells r JOIN cells c ON"
                 " c.id = r.cell_id JOIN samples s ON s.cell_id = c.id AND s.group_id = c.group_id"
                 " WHERE r.run_id = (SELECT max(id) FROM runs) AND c.kind = 'timing' AND"
                 " c.status = 'done' GROUP BY r.ordinal, s.repetition ORDER BY r.ordinal,"
                 " s.repetition");
  std::vector<TimedPoint> points;
  int64_t last = -1;
  while (rows.step()) {
    if (rows.integer(0) != last) {
      points.push_back(
          {rows.text(1), rows.text(2), rows.text(3), rows.real(4), rows.integer(5), {}});
    }
    last = rows.integer(0);
    points.back().repetitions.push_back(
        {rows.real(6), rows.real(7), rows.real(8), rows.real(9), rows.real(10)});
  }
  return points;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double center = mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - center) * (value - center);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

// llama-bench's fields, which it computes from nanoseconds and tokens per second of each sample.
OrderedJson llama_row(const ResultTable& table, const TimedPoint& point, bool decoding) {
  const Provenance& from = table.run.provenance;
  std::vector<double> ns, per_second;
  double prompt = 0, generated = 0;
  for (const Repetition& one : point.repetitions) {
    const double tokens = decoding ? one.decode_tokens : one.prompt_tokens;
    ns.push_back(1e3 * (decoding ? one.decode_us : one.prefill_us));
    per_second.push_back(1e9 * tokens / ns.back());
    prompt = one.prompt_tokens / one.rows;
    generated = one.decode_tokens / one.rows;
  }
  OrderedJson row = {{"build_commit", from.commit},
              {"cpu_info", from.cpu},
              {"backends", from.device},
              {"model_filename", table.run.model},
              {"n_threads", from.threads},
              {"type_k", table.config.dtype},
              {"type_v", table.config.dtype},
              {"n_prompt", decoding ? 0 : std::llround(prompt)},
              {"n_gen", decoding ? std::llround(generated) : 0},
              {"n_depth", decoding ? std::llround(prompt) : 0},
              {"test_time", table.started},
              {"avg_ns", std::llround(mean(ns))},
              {"stddev_ns", std::llround(deviation(ns))},
              {"avg_ts", mean(per_second)},
              {"stddev_ts", deviation(per_second)},
              {"samples_ns", ns},
              {"samples_ts", per_second},
              {"strategy", point.strategy},
              {"target", point.target},
              {"dataset", point.dataset},
              {"batch", point.batch}};
  if (!point.variant.empty()) row["variant"] = point.variant;
  return row;
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

std::string export_timings(ResultStore& store, const std::string& format) {
  const std::vector<std::string> known = {"llama-bench", "google-benchmark", "exit-depths"};
  if (format != known[0] && format != known[1]) throw unknown_name("format", format, known, "--to");
  const ResultTable table = load_result_table(store);
  const std::vector<TimedPoint> points = timed_points(store);
  if (points.empty()) {
    throw Error({.what = "no timed cell is done", .where = store.database().path()});
  }
  OrderedJson json;
  if (format == known[0]) {
    json = OrderedJson::array();
    for (const TimedPoint& point : points) {
      for (const bool decoding : {false, true}) json.push_back(llama_row(table, point, decoding));
    }
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
