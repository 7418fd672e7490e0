#include "eval/bench/row.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "eval/bench/schema_version.h"
#include "eval/telemetry/device_monitor.h"

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;

template <typename Number>
Json or_null(const std::optional<Number>& value) {
  return value ? Json(*value) : Json();
}

}  // namespace

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double deviation_of(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double center = mean_of(values);
  double sum = 0;
  for (const double value : values) sum += (value - center) * (value - center);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

std::string gpu_info(const Provenance& provenance) {
  return provenance.device == "cpu" ? "" : provenance.device_name;
}

nlohmann::ordered_json bench_fields(const BenchContext& context, const BenchRow& row) {
  const Provenance& from = context.provenance;
  Json json;
  json["build_commit"] = from.commit;
  json["build_dirty"] = from.dirty_hash;
  json["compiler"] = from.compiler;
  json["cpu_info"] = from.cpu;
  json["gpu_info"] = gpu_info(from);
  json["backends"] = from.device;
  json["instruction_set"] = from.instruction_set;
  json["model_filename"] = context.model;
  json["model_type"] = context.model_type;
  json["model_size"] = or_null(context.model_size);
  json["model_n_params"] = or_null(context.model_n_params);
  json["n_threads"] = from.threads;
  json["type_k"] = context.type_kv;
  json["type_v"] = context.type_kv;
  json["n_prompt"] = row.n_prompt;
  json["n_gen"] = row.n_gen;
  json["n_depth"] = row.n_depth;
  json["test_time"] = context.test_time;
  json["avg_ns"] = std::llround(mean_of(row.samples_ns));
  json["stddev_ns"] = std::llround(deviation_of(row.samples_ns));
  json["avg_ts"] = mean_of(row.samples_ts);
  json["stddev_ts"] = deviation_of(row.samples_ts);
  json["strategy"] = row.strategy;
  json["target"] = row.target;
  json["batch"] = row.batch;
  json["layers"] = or_null(row.layers);
  json["speedup"] = or_null(row.speedup);
  json["exit_depths_from"] = row.exit_depths;
  json["exit_test_share"] = row.exit_test_share;
  json["driver_version"] = from.card.driver;
  json["joules_per_token"] = or_null(row.joules_per_token);
  json["peak_memory_bytes"] = or_null(row.peak_memory_bytes);
  json["sm_clock_mhz"] = or_null(row.sm_clock_mhz);
  json["clock_reasons"] =
      fmt::format("{}", fmt::join(clock_reason_words(row.clock_reasons.value_or(0)), "; "));
  json["gpu_uuid"] = from.card.uuid;
  json["power_limit_watts"] = or_null(from.card.power_limit_watts);
  json["cuda_runtime"] = from.libraries.cuda_runtime;
  json["cublaslt"] = from.libraries.cublaslt;
  json["memory_clock_mhz"] = or_null(row.memory_clock_mhz);
  json["foreign_processes"] = or_null(row.foreign_processes);
  json["foreign_memory_bytes"] = or_null(row.foreign_memory_bytes);
  json["schema_version"] = kBenchSchemaVersion;
  return json;
}

nlohmann::ordered_json bench_json(const BenchContext& context, const BenchRow& row) {
  Json json = bench_fields(context, row);
  json["samples_ns"] = row.samples_ns;
  json["samples_ts"] = row.samples_ts;
  return json;
}

}  // namespace skipbench
