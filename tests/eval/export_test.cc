// Every number of a table can be recomputed from the export alone.
#include "eval/report/export.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/base/error.h"
#include "eval/bench/row.h"
#include "eval/metrics/registry.h"
#include "eval/report/export_bench.h"
#include "eval/report/export_depths.h"
#include "eval/report/render.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

std::vector<Json> exported(const SweepFolder& folder, const std::string& results) {
  ResultStore store(folder.path(results), OpenMode::kReadOnly);
  std::vector<Json> lines;
  export_outputs(store, /*timing=*/true,
                 [&](const std::string& line) { lines.push_back(Json::parse(line)); });
  return lines;
}

bool belongs_to(const Json& line, const Json& row) {
  return line.at("strategy") == row.at("strategy") && line.at("target") == row.at("target") &&
         line.at("dataset") == row.at("dataset");
}

double bleu(const std::vector<Json>& lines) {
  std::vector<std::string> hypotheses;
  std::vector<std::vector<std::string>> references;
  for (const Json& line : lines) {
    hypotheses.push_back(line.at("text"));
    references.push_back({line.at("reference").get<std::string>()});
  }
  return corpus_scores(*make_metric("bleu", {{"tokenize", "13a"}}), hypotheses, references)
      .at(0)
      .score;
}

double mean_step_layers(const std::vector<Json>& lines) {
  double sum = 0, steps = 0;
  for (const Json& line : lines) {
    const auto layers = line.at("layers_per_token").get<std::vector<double>>();
    EXPECT_EQ(layers.size(), line.at("tokens").size());
    for (size_t t = 1; t < layers.size(); ++t) {
      sum += layers[t];
      ++steps;
    }
  }
  return steps > 0 ? sum / steps : 0;
}

// Tokens per second of each repetition, from token counts and shares of time.
std::vector<double> decode_speeds(const std::vector<Json>& lines) {
  std::map<int, std::pair<double, double>> sums;  // repetition: tokens, microseconds
  for (const Json& line : lines) {
    auto& [tokens, us] = sums[line.at("repetition")];
    tokens += static_cast<double>(line.at("tokens").size()) - 1;
    us += line.at("decode_us").get<double>();
  }
  std::vector<double> speeds;
  for (const auto& [repetition, sum] : sums) speeds.push_back(1e6 * sum.first / sum.second);
  return speeds;
}

double total_speed(const std::vector<Json>& lines, int repetition) {
  double tokens = 0, us = 0;
  for (const Json& line : lines) {
    if (line.at("repetition") != repetition) continue;
    tokens += line.at("prompt_tokens").get<double>() + static_cast<double>(line["tokens"].size());
    us += line.at("prefill_us").get<double>() + line.at("decode_us").get<double>();
  }
  return 1e6 * tokens / us;
}

TEST(Export, RecomputesTheTable) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"timing.repetitions=3"}), SweepOutcome::kDone);
  const std::vector<Json> lines = exported(folder, "a.db");
  for (const Json& row : folder.rows("a.db")) {
    std::vector<Json> quality, timing;
    for (const Json& line : lines) {
      if (!belongs_to(line, row)) continue;
      if (line.at("kind") == "quality") quality.push_back(line);
      if (line.at("kind") == "timing" && line.at("batch") == row.at("batch")) {
        timing.push_back(line);
      }
    }
    ASSERT_EQ(quality.size(), 7u);
    ASSERT_EQ(timing.size(), 9u);  // 3 prompts, 3 repetitions
    EXPECT_DOUBLE_EQ(bleu(quality), row.at("scores").at(0).at("score"));
    EXPECT_DOUBLE_EQ(mean_step_layers(quality), row.at("layers"));
    EXPECT_DOUBLE_EQ(mean_step_layers(timing), row.at("timed_layers"));
    std::vector<double> speeds = decode_speeds(timing);
    std::sort(speeds.begin(), speeds.end());
    const double decode = row.at("decode_tokens_per_second");
    EXPECT_NEAR(speeds.at(1), decode, 1e-9 * decode);
    std::vector<double> totals;
    for (int r = 0; r < 3; ++r) totals.push_back(total_speed(timing, r));
    std::sort(totals.begin(), totals.end());
    const double total = row.at("total_tokens_per_second");
    EXPECT_NEAR(totals[1], total, 1e-9 * total);
    for (const Json& line : timing) EXPECT_EQ(line.at("tokens").size(), 5u);  // forced
  }
}

TEST(Export, KeysOfALine) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"targets=[2]"}), SweepOutcome::kDone);
  {
    ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
    const std::string none = message_of([&] { export_drift(store, [](const std::string&) {}); });
    EXPECT_NE(none.find("no drift by step"), std::string::npos) << none;
  }
  std::set<std::pair<int64_t, int64_t>> seen;
  for (const Json& line : exported(folder, "a.db")) {
    for (const char* key : {"cell", "strategy", "target", "batch", "index", "tokens", "text",
                            "reference", "layers_per_token", "prefill_us", "decode_us"}) {
      EXPECT_TRUE(line.contains(key)) << key;
    }
    if (line.at("kind") == "quality") {
      const int64_t cell = line.at("cell"), index = line.at("index");
      EXPECT_TRUE(seen.emplace(cell, index).second) << line;
    }
  }
}

// The list that early_exit reads back is the outputs' own layers.
TEST(Export, ExitDepthsAreTheOutputs) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"timing.repetitions=0"}), SweepOutcome::kDone);
  std::map<double, std::vector<int>> wanted;
  for (const Json& line : exported(folder, "a.db")) {
    if (line.at("strategy").get<std::string>().find("early_exit") == std::string::npos) continue;
    const auto layers = line.at("layers_per_token").get<std::vector<int>>();
    auto& depths = wanted[line.at("target")];
    depths.insert(depths.end(), layers.begin() + 1, layers.end());
  }
  ASSERT_EQ(wanted.size(), 2);
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  const std::string text = export_exit_depths(store, 0);
  const Json json = Json::parse(text);
  EXPECT_EQ(json.at("num_layers"), 6);
  EXPECT_FALSE(json.at("commit").get<std::string>().empty());
  ASSERT_EQ(json.at("lists").size(), 2);
  std::map<double, std::vector<int>> lists;
  for (const Json& list : json.at("lists")) {
    const std::vector<int>& depths = wanted.at(list.at("target"));
    const auto found = list.at("depths").get<std::vector<int>>();
    // All, but for one where 7 would divide their number.
    EXPECT_EQ(found.size(), depths.size() % 7 == 0 ? depths.size() - 1 : depths.size());
    const auto first = depths.begin() + list.at("first_step").get<int64_t>();
    EXPECT_EQ(found, std::vector<int>(first, first + std::ssize(found)));
    lists[list.at("target")] = found;
    EXPECT_EQ(list.at("run_steps"), depths.size());
    EXPECT_EQ(list.at("params").at("min_layer"), "1");
    EXPECT_TRUE(list.at("threshold").is_number());
    EXPECT_NEAR(list.at("mean"), list.at("run_mean"), 6.0 / static_cast<double>(found.size()));
  }
  // The window of 5 that is nearest to the budget.
  const Json windows = Json::parse(export_exit_depths(store, 5));
  for (const Json& list : windows.at("lists")) {
    const std::vector<int>& depths = wanted.at(list.at("target"));
    double least = 1e9;
    const double budget = list.at("budget");
    for (size_t begin = 0; begin + 5 <= depths.size(); ++begin) {
      double sum = 0;
      for (size_t i = 0; i < 5; ++i) sum += depths[begin + i];
      least = std::min(least, std::abs(sum / 5 - budget));
    }
    const size_t first = list.at("first_step");
    EXPECT_DOUBLE_EQ(std::abs(list.at("mean").get<double>() - budget), least);
    for (size_t i = 0; i < 5; ++i) EXPECT_EQ(list.at("depths")[i], depths[first + i]);
  }
  EXPECT_NE(message_of([&] { export_exit_depths(store, 60001); }).find("60001"), std::string::npos);
  EXPECT_NE(message_of([&] { export_exit_depths(store, 14); }).find("7 does not divide"),
            std::string::npos);

  // Read back by a sweep: the mean is the list's, nothing is calibrated, and the table says so.
  folder.write("depths.json", text);
  const std::string replaying =
      "strategies=[full, {name: early_exit, params: {depths: " + folder.path("depths.json") + "}}]";
  ASSERT_EQ(folder.run("b.db", {replaying, "targets=[3]", "timing.repetitions=1"}),
            SweepOutcome::kDone);
  EXPECT_EQ(count_in(folder.path("b.db"), "SELECT count(*) FROM calibrations"), 0);
  const auto at = [&](const Json& line) {
    const auto layers = line.at("layers_per_token").get<std::vector<int>>();
    const std::vector<int>& depths = lists.at(3);
    for (size_t t = 1; t < layers.size(); ++t) {
      EXPECT_EQ(layers[t], depths[(t - 1 + 7 * line.at("index").get<size_t>()) % depths.size()]);
    }
  };
  size_t checked = 0;
  for (const Json& line : exported(folder, "b.db")) {
    if (line.at("strategy") == "full") continue;
    at(line);
    ++checked;
  }
  EXPECT_EQ(checked, 7u + 2 * 3);
  ResultStore replayed(folder.path("b.db"), OpenMode::kReadOnly);
  EXPECT_NE(render_table(load_result_table(replayed), "md", {})
                .find("early_exit 3x: exit depths replayed from"),
            std::string::npos);
  EXPECT_NE(message_of([&] { export_exit_depths(replayed, 0); }).find("early_exit"),
            std::string::npos);
}

TEST(Export, SeveralReferencesAreAList) {
  const SweepFolder folder;
  const std::string both =
      "datasets.0.reference=[" + folder.path("test.en") + "," + folder.path("test.de") + "]";
  ASSERT_EQ(folder.run("a.db", {both, "strategies=[full]", "timing.repetitions=0"}),
            SweepOutcome::kDone);
  const Json line = exported(folder, "a.db").at(0);
  EXPECT_EQ(line.at("reference").size(), 2u);
  const Json scores = folder.rows("a.db")[0].at("scores");
  EXPECT_NE(scores[0].at("signature").get<std::string>().find("nrefs:2"), std::string::npos);
}

TEST(Report, FormatsAgree) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db"), SweepOutcome::kDone);
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  const ResultTable table = load_result_table(store);
  const std::string csv = render_table(table, "csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 11);
  EXPECT_TRUE(csv.starts_with("dataset,strategy,target,batch,layers,longest_skipped_run,BLEU,"));
  const std::string markdown = render_table(table, "md");
  EXPECT_TRUE(markdown.starts_with("## de-en\n\n| strategy"));
  EXPECT_NE(markdown.find("BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp"), std::string::npos);
  EXPECT_NE(markdown.find("Columns:"), std::string::npos);
  EXPECT_THROW(render_table(table, "xml"), Error);
}

TEST(Report, CellsCannotBreakTheTable) {
  ResultTable table;
  table.rows.push_back(
      {.strategy = "a|b", .dataset = "d", .status = "failed", .message = "one\ntwo, \"three\""});
  const std::string markdown = render_table(table, "md");
  EXPECT_NE(markdown.find("a\\|b"), std::string::npos);
  EXPECT_NE(markdown.find("failed: one two"), std::string::npos);
  EXPECT_NE(render_table(table, "csv").find("\"failed: one\ntwo, \"\"three\"\"\""),
            std::string::npos);
}

TEST(ExportTimings, ARowHasTheFieldsOfBench) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"strategies=[full, unified]", "targets=[3]"}), SweepOutcome::kDone);
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  const auto rows = nlohmann::ordered_json::parse(export_timings(store, "llama-bench"));
  std::vector<std::string> want, got;
  const BenchRow one{.samples_ns = {1}, .samples_ts = {1}};
  const auto fields = bench_json({}, one);
  for (const auto& [key, value] : fields.items()) want.push_back(key);
  want.push_back("dataset");
  for (const auto& [key, value] : rows[0].items()) got.push_back(key);
  EXPECT_EQ(got, want);
  const auto& decoding = rows.back();
  EXPECT_EQ(decoding["strategy"], "unified");
  EXPECT_EQ(decoding["layers"], 2.0);
  EXPECT_GT(decoding["speedup"], 0.0);
  EXPECT_EQ(decoding["gpu_info"], "");
  EXPECT_TRUE(decoding["model_size"].is_null());
  EXPECT_EQ(decoding["n_threads"], 2);
  for (const char* key : {"build_commit", "compiler", "cpu_info", "instruction_set"}) {
    EXPECT_NE(decoding[key], "") << key;
  }
}

// The build and device of the cell, not of the run that shows it.
TEST(ExportTimings, ACellKeepsWhoTimedIt) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"strategies=[full]"}), SweepOutcome::kDone);
  {
    Database database(folder.path("a.db"), OpenMode::kReadWrite);
    database.execute(
        "UPDATE cells SET resolved = json_set(resolved, '$.build[0]', 'c0ffee',"
        " '$.machine[0]', 'cuda', '$.machine[1]', 'NVIDIA H200') WHERE kind = 'timing';"
        "UPDATE runs SET driver = '550.54.15', gpu_uuid = 'GPU-1', power_limit_watts = 700,"
        " cuda_runtime = '12.4', cublaslt = '12.4.5';"
        "UPDATE samples SET energy_joules = 10 * rows, peak_memory_bytes = 4097, sm_clock_mhz = "
        "1980,"
        " clock_reasons = 4, foreign_processes = 1, foreign_memory_bytes = 512"
        " WHERE group_id > 0");
  }
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  for (const Json& row : Json::parse(export_timings(store, "llama-bench"))) {
    EXPECT_EQ(row.at("build_commit"), "c0ffee");
    EXPECT_EQ(row.at("backends"), "cuda");
    EXPECT_EQ(row.at("gpu_info"), "NVIDIA H200");
    EXPECT_EQ(row.at("driver_version"), "550.54.15");
    EXPECT_EQ(row.at("gpu_uuid"), "GPU-1");
    EXPECT_EQ(row.at("power_limit_watts"), 700.0);
    EXPECT_EQ(row.at("cuda_runtime"), "12.4");
    EXPECT_EQ(row.at("cublaslt"), "12.4.5");
    EXPECT_EQ(row.at("foreign_processes"), 1);
    EXPECT_EQ(row.at("foreign_memory_bytes"), 512);
    EXPECT_EQ(row.at("peak_memory_bytes"), 4097);
    EXPECT_EQ(row.at("sm_clock_mhz"), 1980.0);
    EXPECT_EQ(row.at("clock_reasons"), "its power limit");
    const bool decodes = row.at("n_gen") > 0;
    EXPECT_EQ(row.at("joules_per_token"), decodes ? Json(2.0) : Json()) << "five tokens a row";
  }
}

TEST(ExportTimings, BothFormatsHoldTheTablesSpeeds) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db"), SweepOutcome::kDone);
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  const Json llama = Json::parse(export_timings(store, "llama-bench"));
  const Json google = Json::parse(export_timings(store, "google-benchmark"));
  ASSERT_EQ(llama.size(), 20u);                    // ten rows, prompt and decoding
  ASSERT_EQ(google.at("benchmarks").size(), 20u);  // ten rows, two repetitions
  const auto median_of = [](std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
  };
  size_t at = 0;
  for (const Json& row : folder.rows("a.db")) {
    const Json& decoding = llama[2 * at + 1];
    EXPECT_EQ(decoding.at("n_gen"), 4);
    EXPECT_EQ(decoding.at("strategy"), row.at("strategy"));
    const auto want = row.at("decode_tokens_per_second").get<double>();
    EXPECT_NEAR(median_of(decoding.at("samples_ts").get<std::vector<double>>()), want, 1e-9 * want);
    const Json& first = google.at("benchmarks")[2 * at];
    EXPECT_NEAR(
        median_of({first.at("items_per_second").get<double>(),
                   google.at("benchmarks")[2 * at + 1].at("items_per_second").get<double>()}),
        want, 1e-9 * want);
    EXPECT_EQ(first.at("name"),
              fmt::format("de-en/{}/target:{:g}/batch:{}", row.at("strategy").get<std::string>(),
                          row.at("target").get<double>(), row.at("batch").get<double>()));
    ++at;
  }
  EXPECT_THROW(export_timings(store, "csv"), Error);
}

}  // namespace
}  // namespace skipbench
