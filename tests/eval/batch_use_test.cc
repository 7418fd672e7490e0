// Energy, memory and clocks of timed batches in a results file and its table: from planted values
// of machines that are not here.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "engine/weights/load.h"
#include "engine/weights/memory_plan.h"
#include "eval/report/clock_notes.h"
#include "eval/report/notes.h"
#include "eval/report/render.h"
#include "eval/store/merge.h"
#include "eval/store/schema.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

const std::vector<std::string> kSmall = {"targets=[3]", "strategies=[full, unified]"};

ResultTable table_in(const SweepFolder& folder, const std::string& name) {
  ResultStore store(folder.path(name), OpenMode::kReadOnly);
  return load_result_table(store);
}

void change_results(const SweepFolder& folder, const std::string& name, const std::string& sql) {
  Database(folder.path(name), OpenMode::kReadWrite).execute(sql);
}

// A process whose peak Linux tells, and packages whose counter stands still.
SweepOptions with_planted_machine(const SweepFolder& folder) {
  std::filesystem::create_directories(folder.path("proc"));
  std::filesystem::create_directories(folder.path("powercap/intel-rapl:0"));
  folder.write("proc/clear_refs", "");
  folder.write("proc/status", "VmHWM:\t 3072 kB\n");
  folder.write("powercap/intel-rapl:0/name", "package-0\n");
  folder.write("powercap/intel-rapl:0/energy_uj", "5\n");
  folder.write("powercap/intel-rapl:0/max_energy_range_uj", "1000\n");
  SweepOptions options;
  options.telemetry.process_folder = folder.path("proc");
  options.telemetry.powercap_folder = folder.path("powercap");
  return options;
}

TEST(BatchUse, OfACpuIsStoredWithEachTimedBatch) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", kSmall, with_planted_machine(folder)), SweepOutcome::kDone);
  const auto count = [&](const std::string& where) {
    return count_in(folder.path("a.db"), "SELECT count(*) FROM samples WHERE " + where);
  };
  EXPECT_GT(count("group_id > 0"), 0);
  EXPECT_EQ(count("group_id > 0 AND (peak_memory_bytes != 3145728 OR energy_joules != 0)"), 0);
  EXPECT_EQ(count("sm_clock_mhz IS NOT NULL OR clock_reasons IS NOT NULL OR"
                  " foreign_processes IS NOT NULL"),
            0);
  EXPECT_EQ(count("group_id = 0 AND peak_memory_bytes IS NOT NULL"), 0) << "of timed ones alone";
  EXPECT_EQ(text_in(folder.path("a.db"),
                    "SELECT driver || gpu_uuid || cuda_runtime || cublaslt ||"
                    " coalesce(power_limit_watts, '') FROM runs"),
            "");
  for (const Json& row : folder.rows("a.db")) {
    EXPECT_EQ(row.at("peak_memory_mib"), 3.0);
    EXPECT_TRUE(row.at("joules_per_token").is_null()) << "the counter did not move";
    EXPECT_TRUE(row.at("sm_clock_mhz").is_null());
    EXPECT_EQ(row.at("clock_reasons"), "");
  }
  const std::string text = render_table(table_in(folder, "a.db"), "md");
  for (const char* absent :
       {"J/token", "peak MiB", "SM MHz", "The card", "driver", "power limit", "Other"}) {
    EXPECT_EQ(text.find(absent), std::string::npos) << absent;
  }
}

TEST(BatchUse, AMachineThatSaysNothingIsNoError) {
  const SweepFolder folder;
  SweepOptions options;
  options.telemetry.process_folder = options.telemetry.powercap_folder = folder.path("none");
  ASSERT_EQ(folder.run("a.db", kSmall, options), SweepOutcome::kDone);
  for (const Json& row : folder.rows("a.db")) {
    EXPECT_TRUE(row.at("peak_memory_mib").is_null() && row.at("joules_per_token").is_null());
  }
}

TEST(BatchUse, EnergyIsPerOutputTokenOfAllTimedBatches) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", kSmall), SweepOutcome::kDone);
  // Two repetitions of three prompts at batch 1, each with 5 tokens: 30 of a strategy.
  change_results(folder, "a.db", "UPDATE samples SET energy_joules = 10 * rows WHERE group_id > 0");
  for (const Json& row : folder.rows("a.db")) EXPECT_EQ(row.at("joules_per_token"), 2.0) << row;
  const std::string text = render_table(table_in(folder, "a.db"), "md");
  EXPECT_NE(text.find("| J/token |"), std::string::npos) << text;
  EXPECT_NE(text.find("J/token: energy over output tokens"), std::string::npos) << text;
  change_results(
      folder, "a.db",
      "UPDATE samples SET energy_joules = NULL WHERE repetition = 1 AND batch_index = 0");
  for (const Json& row : folder.rows("a.db")) EXPECT_TRUE(row.at("joules_per_token").is_null());
}

// What a strategy needs is counted from shapes: layers that no pass reads, and its cache.
TEST(BatchUse, MemorySavedIsThatOfWeightsAndCache) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"targets=[3]",
                                "strategies=[full, unified, {name: layers, label: cut, params: "
                                "{layers: '0,5', prefill: same}}]"}),
            SweepOutcome::kDone);
  const LoadedModel model = load_model("synthetic:" + folder.path("model.json") + ":3");
  const double weights = static_cast<double>(count_weights(model.weights).bytes) / (1 << 20);
  std::map<int64_t, double> full;  // by batch
  for (const Json& row : folder.rows("a.db")) {
    const double cache = row.at("cache_mib"), needed = row.at("needed_mib");
    const double saved = row.at("memory_saved");
    double& of_full = full[row.at("batch").get<int64_t>()];
    if (row.at("strategy") == "full") of_full = needed;
    EXPECT_DOUBLE_EQ(saved, 1 - needed / of_full) << row;
    if (row.at("strategy") == "cut") {
      EXPECT_LT(needed, weights / 2 + cache) << "four of six layers are in no pass";
      EXPECT_GT(saved, 0.4);
    } else {  // prompts run all layers
      EXPECT_DOUBLE_EQ(needed, weights + cache) << row;
    }
  }
  const std::string text = render_table(table_in(folder, "a.db"), "md");
  EXPECT_NE(text.find("| memory saved |"), std::string::npos) << text;
  EXPECT_EQ(text.find("needed MiB |"), std::string::npos) << "on request";
}

TEST(BatchUse, SlowedRowsAreNoted) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", kSmall), SweepOutcome::kDone);
  const auto notes = [&] {
    const auto list = clock_notes(table_in(folder, "a.db"));
    return list.empty() ? "" : fmt::format("{} {}", list.size(), list[0]);
  };
  change_results(folder, "a.db", "UPDATE samples SET clock_reasons = 1 WHERE group_id > 0");
  EXPECT_EQ(notes(), "") << "an idle card is not a slowed one";
  change_results(
      folder, "a.db",
      "UPDATE samples SET clock_reasons = 4 WHERE repetition = 1 AND batch_index = 0 AND"
      " cell_id IN (SELECT cell_id FROM run_cells WHERE strategy = 'unified' AND batch = 3);"
      "UPDATE samples SET sm_clock_mhz = 1980 WHERE group_id > 0;"
      "UPDATE samples SET sm_clock_mhz = 1000 WHERE group_id > 0 AND repetition = 1;"
      "UPDATE samples SET temperature_c = 60 + repetition WHERE group_id > 0;"
      "UPDATE runs SET driver = '550.54.15'");
  EXPECT_EQ(
      notes(),
      "1 The card lowered its clocks for: its power limit. It did while these rows were timed "
      "(unified 3x, batch 3): their times are those of a slowed card.");
  const ResultTable table = table_in(folder, "a.db");
  const std::string text =
      render_table(table, "md", {.columns = {"sm_clock_mhz", "temperature_c"}});
  EXPECT_NE(text.find("|   1490 | 61 |"), std::string::npos) << text;
  EXPECT_NE(text.find("The card lowered its clocks for: its power limit."), std::string::npos);
  EXPECT_NE(text.find(", driver 550.54.15, load "), std::string::npos) << text;
  const Json json = Json::parse(render_table(table, "json"));
  EXPECT_EQ(json.at("run").at("driver"), "550.54.15");
  EXPECT_EQ(json.at("rows").back().at("clock_reasons"), "its power limit");
  EXPECT_NE(json.at("notes").dump().find("its power limit"), std::string::npos);
  change_results(folder, "a.db", "UPDATE samples SET clock_reasons = 0x48 WHERE group_id > 0");
  EXPECT_NE(notes().find("It did while all rows were timed"), std::string::npos) << notes();
}

TEST(BatchUse, ForeignProcessesAndTheCardAreNoted) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", kSmall), SweepOutcome::kDone);
  change_results(folder, "a.db",
                 "UPDATE samples SET foreign_processes = 0, foreign_memory_bytes = 0, power_watts ="
                 " 400 + 100 * repetition WHERE group_id > 0;"
                 "UPDATE runs SET driver = '550.54.15', gpu_uuid = 'GPU-1', power_limit_watts ="
                 " 699.5, cuda_runtime = '12.4', cublaslt = '12.4.5'");
  EXPECT_TRUE(foreign_process_notes(table_in(folder, "a.db")).empty());
  change_results(
      folder, "a.db",
      "UPDATE samples SET foreign_processes = 1 + repetition, foreign_memory_bytes = 3 << 19 WHERE"
      " cell_id IN (SELECT cell_id FROM run_cells WHERE strategy = 'unified' AND batch = 3)");
  const ResultTable table = table_in(folder, "a.db");
  const std::string note =
      "Other processes computed on the card: up to 2, with up to 1.5 MiB of its memory. They were "
      "there while these rows were timed (unified 3x, batch 3): their times and J/token may hold "
      "the work of those.";
  EXPECT_EQ(foreign_process_notes(table), std::vector<std::string>{note});
  const std::string text =
      render_table(table, "md", {.columns = {"power_watts", "foreign_processes"}});
  EXPECT_NE(text.find(note), std::string::npos) << text;
  EXPECT_NE(text.find("| 450 |                 2 |"), std::string::npos) << text;
  EXPECT_NE(text.find(", driver 550.54.15, CUDA 12.4, cuBLASLt 12.4.5, power limit 699.5 W, load "),
            std::string::npos)
      << text;
  const Json json = Json::parse(render_table(table, "json"));
  EXPECT_EQ(json.at("run").at("gpu_uuid"), "GPU-1");
  EXPECT_EQ(json.at("run").at("power_limit_watts"), 699.5);
  EXPECT_EQ(json.at("run").at("cuda_runtime"), "12.4");
  EXPECT_EQ(json.at("run").at("cublaslt"), "12.4.5");
  EXPECT_EQ(json.at("rows").back().at("foreign_processes"), 2.0);
  change_results(folder, "a.db",
                 "UPDATE samples SET foreign_processes = 1, foreign_memory_bytes = NULL");
  EXPECT_EQ(foreign_process_notes(table_in(folder, "a.db")).at(0),
            "Other processes computed on the card: up to 1. They were there while all rows were "
            "timed: their times and J/token may hold the work of those.");
}

// What version 7 timed has no such numbers, and says so by showing none; merged files keep theirs.
TEST(BatchUse, OlderAndMergedFiles) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", kSmall, with_planted_machine(folder)), SweepOutcome::kDone);
  const std::vector<std::string> inputs = {folder.path("a.db")};
  merge_stores(inputs, folder.path("merged.db"), "skipbench merge");
  EXPECT_EQ(folder.rows("merged.db"), folder.rows("a.db"));
  change_results(folder, "a.db",
                 "UPDATE cells SET weight_bytes = NULL, unread_weight_bytes = NULL;"
                 "UPDATE samples SET peak_memory_bytes = NULL, energy_joules = NULL");
  const ResultTable older = table_in(folder, "a.db");
  for (const TableRow& row : older.rows) {
    EXPECT_TRUE(row.cache_mib);
    EXPECT_FALSE(row.needed_mib || row.memory_saved || row.peak_memory_mib);
  }
  EXPECT_EQ(render_table(older, "md").find("memory saved"), std::string::npos);
}

}  // namespace
}  // namespace skipbench
