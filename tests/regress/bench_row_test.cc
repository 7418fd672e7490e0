// What a row of `bench` says, on devices that are not here too.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "eval/bench/bench.h"

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;

BenchContext context_on(const std::string& device, const std::string& device_name) {
  BenchContext context{.model = "m", .model_type = "llama 2L f32", .model_size = 8};
  context.provenance.device = device;
  context.provenance.device_name = device_name;
  context.provenance.cpu = "a CPU";
  return context;
}

const BenchRow kRow{.test = "pp4",
                    .strategy = "full",
                    .layers = 2,
                    .speedup = 1,
                    .samples_ns = {4e9, 2e9},
                    .samples_ts = {1, 2}};

TEST(BenchRow, NamesTheGpuAsLlamaBenchDoes) {
  const Json on_cpu = bench_json(context_on("cpu", "a CPU"), kRow);
  EXPECT_EQ(on_cpu["cpu_info"], "a CPU");
  EXPECT_EQ(on_cpu["gpu_info"], "");
  EXPECT_EQ(on_cpu["schema_version"], 1);
  const BenchContext h200 = context_on("cuda", "NVIDIA H200");
  EXPECT_EQ(bench_json(h200, kRow)["gpu_info"], "NVIDIA H200");
  const BenchRow rows[] = {kRow, kRow};
  for (const char* format : {"md", "csv", "json", "jsonl", "sql"}) {
    EXPECT_NE(format_bench(h200, rows, format).find("NVIDIA H200"), std::string::npos) << format;
  }
}

TEST(BenchRow, JsonLinesAreTheJsonsRows) {
  const BenchRow rows[] = {kRow, kRow};
  const BenchContext context = context_on("cpu", "a CPU");
  const Json list = Json::parse(format_bench(context, rows, "json"));
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(format_bench(context, rows, "jsonl"), list[0].dump() + "\n" + list[1].dump() + "\n");
}

TEST(BenchRow, WhatIsNotKnownIsNull) {
  BenchContext context = context_on("cpu", "a CPU");
  context.model_size.reset();
  BenchRow row = kRow;
  row.layers.reset();
  const Json json = bench_json(context, row);
  EXPECT_TRUE(json["model_size"].is_null() && json["layers"].is_null());
  EXPECT_EQ(json["speedup"], 1.0);
}

}  // namespace
}  // namespace skipbench
