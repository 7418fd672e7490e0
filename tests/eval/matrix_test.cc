// include, defaults, matrix and exclude of a configuration, from the file to the table.
#include "eval/sweep/matrix.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "engine/base/error.h"
#include "eval/report/comparison.h"
#include "eval/report/render.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

std::vector<SweepConfig> variants_of(const SweepFolder& folder, const std::string& more = "",
                                     const std::vector<std::string>& overrides = {}) {
  folder.write_config(folder.config_text() + more);
  return load_sweep_variants(folder.path("sweep.yaml"), overrides);
}

TEST(Include, WhatStandsHereGoesBefore) {
  const SweepFolder folder;
  folder.write("base.yaml", folder.config_text());
  folder.write("more.yaml", "include: base.yaml\ndecoding: {max_new_tokens: 4}\ntargets: [2]\n");
  folder.write("top.yaml", "include: [more.yaml]\nname: top\ntiming: {warmup: 0}\n");
  const SweepConfig config = load_sweep_config(folder.path("top.yaml"));
  EXPECT_EQ(config.name, "top");
  EXPECT_EQ(config.max_new_tokens, 4);
  EXPECT_EQ(config.strategies[1].targets, std::vector<double>{2});  // lists are replaced
  EXPECT_EQ(config.timing.warmup, 0);                               // sections are joined
  EXPECT_EQ(config.timing.new_tokens, 5);
}

TEST(Include, MessagesNameTheFileThatTheValueStandsIn) {
  const SweepFolder folder;
  folder.write("base.yaml", folder.config_text());
  folder.write("wrong.yaml", "\n\ndecoding: {max_new_tokens: 0, length: 3}\n");
  folder.write("top.yaml", "include: [base.yaml, wrong.yaml]\ntargets: x\n");
  const auto message = [&] {
    return message_of([&] { load_sweep_config(folder.path("top.yaml")); });
  };
  EXPECT_NE(message().find(folder.path("wrong.yaml") + ":3: decoding.length"), std::string::npos)
      << message();
  folder.write("wrong.yaml", "\ndecoding:\n  max_new_tokens: 0\n");
  EXPECT_NE(message().find(folder.path("wrong.yaml") + ":3: decoding.max_new_tokens"),
            std::string::npos)
      << message();
  folder.write("wrong.yaml", "{}");
  EXPECT_NE(message().find(folder.path("top.yaml") + ":2: targets"), std::string::npos)
      << message();
  folder.write("wrong.yaml", "include: top.yaml");
  EXPECT_NE(message().find("includes itself"), std::string::npos) << message();
  folder.write("top.yaml", "include: absent.yaml");
  EXPECT_NE(message().find("absent.yaml"), std::string::npos) << message();
}

TEST(Include, FilesThatIncludeManyEnd) {
  const SweepFolder folder;
  for (int i = 0; i < 12; ++i) {
    const std::string next = fmt::format("f{}.yaml", i + 1);
    std::string list = next;
    for (int j = 1; j < 10; ++j) list += ", " + next;
    folder.write(fmt::format("f{}.yaml", i), "include: [" + list + "]\n");
  }
  folder.write("f12.yaml", "name: a\n");
  const auto load = [&] { load_sweep_config(folder.path("f0.yaml")); };
  EXPECT_NE(message_of(load).find("more than 64 files included"), std::string::npos)
      << message_of(load);
}

// Merging into what aliases share makes keys that contain themselves, or very many.
TEST(Include, SharedSectionsDoNotGrowWithoutEnd) {
  const SweepFolder folder;
  folder.write("a.yaml", "p: &a {}\nq: *a\n");
  folder.write("top.yaml", "include: a.yaml\np: {t: &b {}}\nq: {t: {v: *b}}\n");
  const auto load = [&] { load_sweep_config(folder.path("top.yaml")); };
  EXPECT_NE(message_of(load).find("keys inside themselves"), std::string::npos) << message_of(load);
  std::string many;
  for (int i = 0; i < 5001; ++i) many += fmt::format("k{}: 1\n", i);
  folder.write("a.yaml", many);
  EXPECT_NE(message_of(load).find("more than 5000 keys"), std::string::npos) << message_of(load);
}

TEST(Defaults, AreTakenWhereAnItemSaysNothing) {
  const SweepFolder folder;
  std::string text = folder.config_text();
  text.replace(text.find("    limit: 7\n"), 13, "");
  folder.write_config(text +
                      "defaults:\n  datasets: {limit: 3, prompt: \"unused {source}\"}\n"
                      "  strategies: {targets: [2]}\n");
  const auto load = [&] { return load_sweep_config(folder.path("sweep.yaml")); };
  const SweepConfig config = load();
  EXPECT_EQ(config.datasets[0].limit, 3);
  EXPECT_EQ(config.datasets[0].prompt, "Say: {source}\n");
  EXPECT_EQ(config.strategies[1].targets, std::vector<double>{2});
  EXPECT_EQ(config.strategies[1].label, "unified");
  EXPECT_EQ(config.strategies[2].params.at("min_layer").text, "1");
  folder.write_config(folder.config_text() + "defaults:\n  datasets: {limits: 3}\n");
  EXPECT_NE(message_of(load).find(":20: datasets[0].limits"), std::string::npos)
      << message_of(load);
  folder.write_config(folder.config_text() + "defaults: {dataset: {limit: 3}}\n");
  EXPECT_NE(message_of(load).find("unknown key 'dataset'"), std::string::npos) << message_of(load);
}

TEST(Matrix, HasEveryCombination) {
  const SweepFolder folder;
  const auto variants =
      variants_of(folder, "matrix: {dtypes: [f32, f16], seeds: [1, 2, 3], beams: 2}\n");
  ASSERT_EQ(variants.size(), 6u);
  EXPECT_EQ(variants[0].variant, "dtype=f32, seed=1");
  EXPECT_EQ(variants[5].variant, "dtype=f16, seed=3");
  std::set<std::string> names;
  for (const SweepConfig& config : variants) {
    EXPECT_EQ(config.beams.beams, 2);  // an axis of one value is no part of the name
    EXPECT_EQ(config.variant,
              fmt::format("dtype={}, seed={}", config.model.dtype_name, config.seed));
    names.insert(config.variant);
  }
  EXPECT_EQ(names.size(), 6u);
  EXPECT_EQ(variants_of(folder, "", {"matrix.seeds=[4,5]"}).size(), 2u);
}

TEST(Matrix, PathsAreNamedByTheirLastPart) {
  const SweepFolder folder;
  const auto variants = variants_of(folder, "matrix: {models: [a/x, b/y], adapters: [p/q, r/q]}\n");
  ASSERT_EQ(variants.size(), 4u);
  EXPECT_EQ(variants[1].variant, "model=x, adapter=r/q");
  EXPECT_EQ(variants[2].model.path, "b/y");
}

TEST(Matrix, WrongValuesAreFoundWhereTheyStand) {
  const SweepFolder folder;
  const auto message = [&](const std::string& more) {
    return message_of([&] { variants_of(folder, more); });
  };
  EXPECT_NE(message("matrix:\n  dtypes: [f32, f61]\n").find("f61"), std::string::npos);
  EXPECT_NE(message("matrix:\n  seeds: [1, -2]\n").find(":20: seed"), std::string::npos)
      << message("matrix:\n  seeds: [1, -2]\n");
  EXPECT_NE(message("matrix: {seeds: [1, 1]}\n").find("given twice"), std::string::npos);
  EXPECT_NE(message("matrix: {batches: [1]}\n").find("unknown key 'batches'"), std::string::npos);
  std::string seeds = "1";
  for (int i = 2; i <= 100; ++i) seeds += fmt::format(",{}", i);
  EXPECT_NE(
      message("matrix: {models: [" + seeds + "], seeds: [" + seeds + "], dtypes: [f32, f16]}\n")
          .find("a matrix of more than 10000 points"),
      std::string::npos);
  const auto beside = [&](const std::string& from, const std::string& to,
                          const std::string& matrix) {
    std::string text = folder.config_text();
    const size_t at = text.find(from), end = text.find('\n', at);
    return message_of([&] {
      folder.write_config(text.replace(at, end - at, to) + matrix);
      load_sweep_variants(folder.path("sweep.yaml"), {});
    });
  };
  EXPECT_EQ(beside("model:", "model: 5", "matrix: {models: [a]}\n"),
            folder.path("sweep.yaml") +
                ":2: model: not a section, so that matrix.models[0] cannot be put into it; "
                "expected keys with values, got a value");
  EXPECT_NE(beside("model:", "model: [5]", "matrix: {adapters: [a]}\n").find(":2: model: not a"),
            std::string::npos);
  EXPECT_NE(
      beside("decoding:", "decoding: 5", "matrix: {beams: [1]}\n").find(":10: decoding: not a"),
      std::string::npos);
  EXPECT_NE(message("exclude: [{strategy: uniform}]\n").find("unknown strategy 'uniform'"),
            std::string::npos);
  EXPECT_NE(message("exclude: [{}]\n").find("everything"), std::string::npos);
  EXPECT_NE(message("matrix: {seeds: [1]}\nexclude: [{seed: 1}]\n").find("leaves nothing"),
            std::string::npos);
}

TEST(Exclude, LeavesOutWhatARuleMatches) {
  const SweepFolder folder;
  const auto variants = variants_of(folder,
                                    "matrix: {dtypes: [f32, f16]}\n"
                                    "exclude:\n"
                                    "  - {strategy: early_exit, target: [3, 2]}\n"
                                    "  - {strategy: unified, batch_size: 3, dtype: f16}\n");
  const auto setups = prepare_sweeps(variants);
  ASSERT_EQ(setups.size(), 2u);
  const auto count = [&](size_t v, const std::string& kind, const std::string& strategy,
                         double target) {
    return std::ranges::count_if(setups[v].cells, [&](const Cell& cell) {
      return cell.key.kind == kind && cell.key.strategy == strategy && cell.key.target == target;
    });
  };
  for (size_t v : {0, 1}) {
    EXPECT_EQ(count(v, "quality", "early_exit", 3), 0);
    EXPECT_EQ(count(v, "timing", "early_exit", 3), 0);
    EXPECT_EQ(count(v, "timing", "early_exit", 1.5), 2);
    EXPECT_EQ(count(v, "quality", "unified", 3), 1);
    EXPECT_EQ(count(v, "timing", "unified", 3), v == 0 ? 2 : 1);
  }
  EXPECT_EQ(variants_of(folder, "matrix: {seeds: [1, 2]}\nexclude: [{seed: 2}]\n").size(), 1u);
}

// A cell is the same cell with a matrix and without: nothing is measured twice.
TEST(Matrix, RunsAsOneSweep) {
  const SweepFolder folder;
  const std::vector<std::string> only = {"strategies=[full, random]", "targets=[3]",
                                         "batch_sizes=[2]", "timing.prompts=2"};
  std::vector<std::string> with_matrix = only;
  with_matrix.push_back("matrix.seeds=[0, 5]");
  with_matrix.push_back("results=" + folder.path("m.db"));
  ASSERT_EQ(folder.run("m.db", only), SweepOutcome::kDone);
  auto variants = prepare_sweeps(load_sweep_variants(folder.path("sweep.yaml"), with_matrix));
  std::ostringstream log;
  ASSERT_EQ(run_sweep(variants, {.log = &log}), SweepOutcome::kDone);
  // Of eight cells (full and random, quality and timing, two seeds) seed 5 of `random` is new.
  EXPECT_NE(log.str().find("2 of 8 cells to do"), std::string::npos) << log.str();
  ResultStore store(folder.path("m.db"), OpenMode::kReadOnly);
  ResultTable table = load_result_table(store);
  ASSERT_EQ(table.rows.size(), 4u);
  EXPECT_EQ(table.rows[3].variant, "seed=5");
  EXPECT_EQ(table.rows[3].dataset, "de-en, seed=5");
  for (const TableRow& row : table.rows) EXPECT_TRUE(row.speedup) << row.dataset;
  EXPECT_EQ(table.rows[0].quality_cell, table.rows[2].quality_cell);  // full has no seed
  EXPECT_NE(table.rows[1].quality_cell, table.rows[3].quality_cell);
  compare_strategies(store, table, {});
  EXPECT_TRUE(table.rows[3].scores.at(0).p_value);
  const std::string text = render_table(table, "md");
  EXPECT_NE(text.find("## de-en, seed=5"), std::string::npos) << text;
  EXPECT_NE(text.find("seed=5: model "), std::string::npos) << text;
}

// Models of several points are in memory one at a time, but for the one that points share.
TEST(Matrix, FreesAModelBeforeTheNextIsLoaded) {
  const SweepFolder folder;
  const std::string model = folder.path("model.json");
  const auto path = [&](int seed) { return fmt::format("\"synthetic:{}:{}\"", model, seed); };
  auto variants = prepare_sweeps(load_sweep_variants(
      folder.path("sweep.yaml"),
      std::vector<std::string>{"strategies=[full, unified]", "targets=[3]", "timing.repetitions=0",
                               fmt::format("matrix.models=[{}, {}]", path(1), path(2)),
                               "matrix.dtypes=[f32, bf16]", "results=" + folder.path("m.db")}));
  ASSERT_EQ(variants.size(), 4u);
  const auto is_loaded = [](const SweepSetup& setup) {
    return !setup.loaded.storage.empty() || !setup.loaded.weights.layers.empty();
  };
  EXPECT_TRUE(std::ranges::none_of(variants, is_loaded));
  EXPECT_EQ(variants[3].loaded.config.num_layers, 6);
  std::set<size_t> seen;
  const auto watch = [&] {
    EXPECT_EQ(std::ranges::count_if(variants, is_loaded), 1);
    seen.insert(std::ranges::find_if(variants, is_loaded) - variants.begin());
  };
  ASSERT_EQ(run_sweep(variants, {.after_batch = watch}), SweepOutcome::kDone);
  EXPECT_EQ(seen.size(), 4u);
  EXPECT_TRUE(std::ranges::none_of(variants, is_loaded));
  // Nothing to do: nothing is loaded. Other contents under the same name are refused.
  ASSERT_EQ(run_sweep(variants, {}), SweepOutcome::kDone);
  folder.resize_vocabulary(300);
  EXPECT_NE(message_of([&] { run_sweep(variants, {.fresh = true}); }).find("has changed since"),
            std::string::npos);
}

TEST(Table4, IsThePapersGrid) {
  const SweepFolder folder;
  for (const char* name : {"BLOOMZ", "ADAPTERS", "WMT22"}) {
    setenv(name, folder.path(name).c_str(), 1);
  }
  std::string model;
  {
    std::ifstream file(folder.path("model.json"));
    model.assign(std::istreambuf_iterator<char>(file), {});
  }
  const std::string layers = "\"num_hidden_layers\": 6";
  folder.write("deep.json",
               model.replace(model.find(layers), layers.size(), "\"num_hidden_layers\": 30"));
  std::filesystem::create_directories(folder.path("WMT22"));
  std::string lines;
  for (int i = 0; i < 80; ++i) lines += fmt::format("line {}\n", i);
  std::vector<std::string> overrides = {"device=cpu",
                                        "model.dtype=f32",
                                        "model.adapter=none",
                                        "decoding.max_new_tokens=8",
                                        "model.path=synthetic:" + folder.path("deep.json"),
                                        "model.tokenizer=" + folder.path("tokenizer.json"),
                                        "results=" + folder.path("t4.db")};
  for (const std::string direction : {"de-en", "en-de", "zh-en", "en-zh"}) {
    for (const std::string& language : {direction.substr(0, 2), direction.substr(3)}) {
      folder.write(fmt::format("WMT22/newstest22.{}.{}", direction, language), lines);
    }
    overrides.push_back(fmt::format("datasets.{}.limit=64", direction));
  }
  const std::string path = std::string(SKIPBENCH_SOURCE_DIR) + "/configs/table4.yaml";
  auto setups = prepare_sweeps(load_sweep_variants(path, overrides));
  ASSERT_EQ(setups.size(), 1u);
  // Per direction: full, and three strategies at four targets; each of quality and three timings.
  EXPECT_EQ(setups[0].cells.size(), 4u * (1 + 3 * 4) * 4);
  std::set<double> targets;
  std::set<int64_t> batches;
  for (const Cell& cell : setups[0].cells) {
    // There is no beam search under exits.
    const bool exits = cell.spec.name == "early_exit";
    EXPECT_EQ(cell.status, exits ? cell_status::kUnsupported : cell_status::kPending)
        << cell_name(cell.key);
    targets.insert(cell.key.target);
    batches.insert(cell.key.batch);
  }
  EXPECT_EQ(targets, (std::set<double>{1, 2, 3, 5, 10}));
  EXPECT_EQ(batches, (std::set<int64_t>{1, 2, 8}));
  EXPECT_EQ(setups[0].config.beams, (BeamOptions{.beams = 4, .no_repeat_ngram = 3}));
  EXPECT_EQ(setups[0].config.datasets[3].metrics.at(0).options.at("tokenize"), "zh");
  overrides.insert(overrides.end(), {"decoding.beams=1", "decoding.no_repeat_ngram=0"});
  const auto greedy = prepare_sweeps(load_sweep_variants(path, overrides));
  for (const Cell& cell : greedy[0].cells) {
    EXPECT_EQ(cell.status, cell_status::kPending) << cell_name(cell.key);
  }
}

}  // namespace
}  // namespace skipbench
