// What a row of `bench` says, on devices that are not here too.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/weights/load.h"
#include "eval/bench/bench.h"
#include "tests/temp_folder.h"

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
  EXPECT_EQ(on_cpu["schema_version"], 3);
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
  for (const char* key : {"joules_per_token", "peak_memory_bytes", "sm_clock_mhz",
                          "memory_clock_mhz", "power_limit_watts", "foreign_processes",
                          "foreign_memory_bytes"}) {
    EXPECT_TRUE(json[key].is_null()) << key;
  }
  EXPECT_EQ(json["clock_reasons"], "");
  for (const char* key : {"driver_version", "gpu_uuid", "cuda_runtime", "cublaslt"}) {
    EXPECT_EQ(json[key], "") << key;
  }
  const BenchRow rows[] = {row};
  EXPECT_EQ(format_bench(context, rows, "md").find("J per"), std::string::npos);
}

TEST(BenchRow, SaysWhatTheMachineSaid) {
  BenchContext context = context_on("cuda", "NVIDIA H200");
  context.provenance.card = {.driver = "550.54.15", .uuid = "GPU-1", .power_limit_watts = 700.0};
  context.provenance.libraries = {.cuda_runtime = "12.4", .cublaslt = "12.4.5"};
  BenchRow row = kRow;
  row.joules_per_token = 0.25;
  row.peak_memory_bytes = 4096;
  row.clock_reasons = 0x5;
  row.foreign_processes = 2;
  row.foreign_memory_bytes = 8192;
  const Json json = bench_json(context, row);
  EXPECT_EQ(json["driver_version"], "550.54.15");
  EXPECT_EQ(json["gpu_uuid"], "GPU-1");
  EXPECT_EQ(json["power_limit_watts"], 700.0);
  EXPECT_EQ(json["cuda_runtime"], "12.4");
  EXPECT_EQ(json["cublaslt"], "12.4.5");
  EXPECT_EQ(json["foreign_processes"], 2);
  EXPECT_EQ(json["foreign_memory_bytes"], 8192);
  EXPECT_EQ(json["joules_per_token"], 0.25);
  EXPECT_EQ(json["peak_memory_bytes"], 4096);
  EXPECT_EQ(json["clock_reasons"], "its power limit");
  const BenchRow rows[] = {row, kRow};
  const std::string text = format_bench(context, rows, "md");
  EXPECT_NE(text.find("full 1x, batch 1, pp4 0.25\n"), std::string::npos) << text;
  EXPECT_NE(text.find("The card lowered its clocks for: its power limit, while it ran full 1x, "
                      "batch 1, pp4.\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("Other processes computed on the card (how many) while it ran full 1x, batch "
                      "1, pp4 (2).\n"),
            std::string::npos)
      << text;
}

// Energy, memory and clocks of generations on a CPU whose files are planted.
TEST(BenchRow, MeasuresWhatTheMachineSays) {
  const auto folder = make_temp_folder("bench");
  std::ofstream(folder / "clear_refs") << "";
  std::ofstream(folder / "status") << "VmHWM:\t 8 kB\n";
  const LoadedModel loaded = load_model("synthetic:" SKIPBENCH_SOURCE_DIR
                                        "/tests/fixtures/models/llama-1layer/config.json:1");
  const auto backend = make_backend({.device = "cpu", .threads = 1});
  Model model(loaded, *backend);
  Decoder decoder(model);
  BenchRequest request{.prompt_tokens = {2}, .new_tokens = {2}, .repetitions = 1, .warmup = 0};
  request.telemetry.process_folder = request.telemetry.powercap_folder = folder.string();
  for (const BenchRow& row : run_bench(decoder, request)) {
    EXPECT_EQ(row.peak_memory_bytes, 8192) << row.test;
    EXPECT_FALSE(row.joules_per_token || row.sm_clock_mhz || row.clock_reasons);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace skipbench
