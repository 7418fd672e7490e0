// Sweeps in which strategies have LoRA adapters of their own.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "engine/base/error.h"
#include "engine/weights/load.h"
#include "eval/report/render.h"
#include "eval/report/report.h"
#include "eval/sweep/adapters.h"
#include "tests/eval/sweep_fixture.h"
#include "tests/weights/model_writer.h"

namespace skipbench {
namespace {

// Rank 1 on one matrix of layer 0, its values told apart by `which`.
void write_adapter(const SweepFolder& folder, const std::string& name, const std::string& which) {
  std::filesystem::create_directories(folder.path(name));
  folder.write(name + "/adapter_config.json",
               R"({"peft_type": "LORA", "r": 1, "lora_alpha": 0.1, "bias": "none"})");
  const std::string module = "base_model.model.model.layers.0.mlp." + which;
  const int64_t in = which == "down_proj" ? 40 : 24, out = which == "down_proj" ? 24 : 40;
  folder.write(name + "/adapter_model.safetensors",
               test::safetensors_bytes(
                   {{module + ".lora_A.weight", {1, in}}, {module + ".lora_B.weight", {out, 1}}}));
}

class AdapterSweep : public testing::Test {
 protected:
  AdapterSweep() {
    write_adapter(folder_, "unified-1.5x", "down_proj");
    write_adapter(folder_, "unified-3x", "up_proj");
    write_adapter(folder_, "early", "gate_proj");
    std::string text = folder_.config_text();
    const std::string exits = "params: {min_layer: 1}";
    text.replace(text.find(exits), exits.size(), exits + ", adapter: early");
    folder_.write_config(text);
  }

  std::vector<std::string> overrides() const {
    return {"model.adapter=" + folder_.path("{strategy}-{target}x")};
  }

  SweepFolder folder_;
};

TEST_F(AdapterSweep, EveryCellRunsTheModelThatItsAdapterMakes) {
  const SweepSetup plain = folder_.setup({"strategies.early_exit.adapter=none"});
  const SweepSetup setup = folder_.setup(overrides());
  EXPECT_EQ(setup.adapted.size(), 3u);
  ASSERT_EQ(plain.cells.size(), setup.cells.size());
  for (size_t i = 0; i < setup.cells.size(); ++i) {
    const Cell& cell = setup.cells[i];
    const std::string want = cell.is_full                     ? ""
                             : cell.spec.name == "early_exit" ? folder_.path("early")
                             : cell.key.target == 3           ? folder_.path("unified-3x")
                                                              : folder_.path("unified-1.5x");
    EXPECT_EQ(cell.adapter, want) << i;
    EXPECT_EQ(cell.identity == plain.cells[i].identity, cell.is_full) << i;
  }
}

TEST_F(AdapterSweep, OneTrainedForSomethingElseIsWarnedOf) {
  const auto warnings = [&] { return folder_.setup(overrides()).warnings; };
  EXPECT_TRUE(warnings().empty()) << warnings().front();  // nothing is known of them
  const std::string prompt = R"("prompt": "Say: {source}\n")";
  folder_.write("unified-3x/finetune.json",
                R"({"settings": {"strategy": "unified", "target": 3.0, )" + prompt + "}}");
  folder_.write("early/finetune.json",
                R"({"settings": {"strategy": "early_exit", "target": 7.0, )" + prompt + "}}");
  // What is no such file, or is damaged, says nothing.
  folder_.write("unified-1.5x/finetune.json", R"({"settings": {"strategy": 5, "target": "x"}})");
  EXPECT_TRUE(warnings().empty()) << warnings().front();
  folder_.write("unified-1.5x/finetune.json", "{");
  EXPECT_TRUE(warnings().empty()) << warnings().front();
  folder_.write(
      "unified-1.5x/finetune.json",
      R"({"settings": {"strategy": "fixed_exit", "target": 2.0, "prompt": "{source}\n"}})");
  const std::vector<std::string> found = warnings();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0], "unified 1.5x on 'de-en': its adapter " + folder_.path("unified-1.5x") +
                          " was trained for fixed_exit, target 2, prompts \"{source}\\n\"");
}

TEST_F(AdapterSweep, OutputsAreThoseOfTheMergedModel) {
  ASSERT_EQ(folder_.run("a.db", overrides()), SweepOutcome::kDone);
  const SweepSetup setup = folder_.setup(overrides());
  auto store = std::make_unique<ResultStore>(folder_.path("a.db"), OpenMode::kReadWrite);
  int compared = 0;
  for (const Cell& cell : setup.cells) {
    if (cell.key.kind != "quality" || cell.spec.name == "early_exit") continue;
    const LoadedModel loaded =
        load_model("synthetic:" + folder_.path("model.json") + ":3", cell.adapter);
    const auto backend = make_backend({.threads = 1});
    Model model(loaded, *backend);
    const auto strategy = make_strategy(cell.spec, loaded.config.num_layers);
    const GenerateResult want = Decoder(model).generate(
        setup.inputs[0].prompts, *strategy,
        {.max_new_tokens = 9, .end_of_text_ids = loaded.config.end_of_text_ids});
    const StoredCell stored =
        store->add_cell(1, 100 + compared, cell.key, cell.identity, cell.resolved);
    const auto outputs = store->outputs(stored.id);
    ASSERT_EQ(outputs.size(), want.outputs.size()) << cell_name(cell.key);
    for (size_t i = 0; i < outputs.size(); ++i) {
      EXPECT_EQ(outputs[i].tokens, want.outputs[i].tokens) << cell_name(cell.key) << ", " << i;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 3 * 7);
  store.reset();  // a file has one writer
  std::ostringstream log;
  ASSERT_EQ(folder_.run("a.db", overrides(), {.log = &log}), SweepOutcome::kDone);
  EXPECT_NE(log.str().find("all 15 cells are done"), std::string::npos) << log.str();
}

TEST_F(AdapterSweep, EachSeedHasItsOwn) {
  write_adapter(folder_, "random_7-3x", "down_proj");
  write_adapter(folder_, "random_8-3x", "up_proj");
  std::string text = folder_.config_text();
  const size_t begin = text.find("  - unified"), end = text.find("targets:");
  text.replace(begin, end - begin,
               "  - {name: random, label: chance, seeds: 2, params: {seed: 7}, adapter: "
               "\"random_{seed}-{target}x\"}\n");
  folder_.write_config(text);
  const SweepSetup setup = folder_.setup({"targets=[3]"});
  EXPECT_EQ(setup.adapted.size(), 2u);
  int seen = 0;
  for (const Cell& cell : setup.cells) {
    if (cell.is_full) continue;
    EXPECT_EQ(cell.adapter, folder_.path("random_" + cell.spec.params.at("seed").text + "-3x"));
    ++seen;
  }
  EXPECT_EQ(seen, 2 * 3);  // quality, and times at two batch sizes
}

// Three trainings of `unified`, and what else is known of them one by one.
class TrainingRuns : public AdapterSweep {
 protected:
  TrainingRuns() {
    write_adapter(folder_, "run1/unified-3x", "down_proj");
    write_adapter(folder_, "run2/unified-3x", "up_proj");
    write_adapter(folder_, "other", "gate_proj");
  }

  void write_strategies(const std::string& strategies) const {
    std::string text = folder_.config_text();
    const size_t begin = text.find("  - unified"), end = text.find("targets:");
    folder_.write_config(text.replace(begin, end - begin, strategies));
  }

  std::string refusal(const std::string& strategies) const {
    write_strategies(strategies);
    return message_of([&] { folder_.setup({"targets=[3]"}); });
  }

  static constexpr const char* kRuns =
      R"(adapters: ["run1/{strategy}-{target}x", "run2/{strategy}-{target}x", other])";
};

TEST_F(TrainingRuns, BecomeOneRowWithMeanAndSpread) {
  using Json = nlohmann::json;
  write_strategies(fmt::format("  - {{name: unified, {}}}\n", kRuns));
  const SweepSetup setup = folder_.setup({"targets=[3]"});
  std::vector<std::string> labels, adapters;
  for (const Cell& cell : setup.cells) {
    if (cell.is_full || cell.key.kind != "quality") continue;
    labels.push_back(cell.key.strategy);
    adapters.push_back(cell.adapter);
  }
  EXPECT_EQ(labels, (std::vector<std::string>{"unified run 1", "unified run 2", "unified run 3"}));
  EXPECT_EQ(adapters,
            (std::vector<std::string>{folder_.path("run1/unified-3x"),
                                      folder_.path("run2/unified-3x"), folder_.path("other")}));
  ASSERT_EQ(folder_.run("a.db", {"targets=[3]"}), SweepOutcome::kDone);
  const Json folded = folder_.rows("a.db");
  ASSERT_EQ(folded.size(), 4u);  // full and unified, at two batch sizes

  {
    ResultStore store(folder_.path("a.db"), OpenMode::kReadOnly);
    const std::string page = html_report(store, load_result_table(store), {.samples = 1});
    EXPECT_NE(page.find("unified 3x (first of 3 training runs)"), std::string::npos);
  }

  // The same adapters at strategies of their own.
  std::string list;
  for (size_t i = 0; i < adapters.size(); ++i) {
    list += fmt::format("  - {{name: unified, label: u{}, adapter: {}}}\n", i, adapters[i]);
  }
  write_strategies(list);
  ASSERT_EQ(folder_.run("b.db", {"targets=[3]"}), SweepOutcome::kDone);
  const Json single = folder_.rows("b.db");
  for (const Json& row : folded) {
    if (row["strategy"] == "full") continue;
    EXPECT_EQ(row["strategy"], "unified");
    EXPECT_EQ(row["seeds"], 3);
    double sum = 0, squares = 0;
    int runs = 0;
    for (const Json& other : single) {
      if (other["strategy"] == "full" || other["batch"] != row["batch"]) continue;
      const auto score = other["scores"][1]["score"].get<double>();
      sum += score, squares += score * score, ++runs;
    }
    ASSERT_EQ(runs, 3);
    const Json& score = row["scores"][1];
    EXPECT_NEAR(score["score"].get<double>(), sum / 3, 1e-12);
    EXPECT_NEAR(score["deviation_over_seeds"].get<double>(),
                std::sqrt(std::max(0.0, (squares - sum * sum / 3) / 2)), 1e-9);
  }
}

TEST_F(TrainingRuns, OneIsAStrategyAsAnyOther) {
  write_strategies("  - {name: unified, adapters: [\"run1/{strategy}-{target}x\"]}\n");
  const SweepSetup setup = folder_.setup({"targets=[3]"});
  EXPECT_EQ(setup.cells.back().key.strategy, "unified");
  EXPECT_EQ(setup.cells.back().adapter, folder_.path("run1/unified-3x"));
}

TEST_F(TrainingRuns, WhatIsNoRunIsRefused) {
  const auto says = [&](const std::string& strategies, const std::string& what) {
    const std::string message = refusal(strategies);
    EXPECT_NE(message.find(what), std::string::npos) << message;
    EXPECT_NE(message.find("sweep.yaml:1"), std::string::npos) << message;  // lines 13, 14
  };
  says("  - {name: unified, adapters: [other, run1], adapter: other}\n", "beside `adapter`");
  says("  - {name: random, adapters: [other, run1], seeds: 2}\n", "beside `seeds`");
  says("  - {name: unified, adapters: [other, none]}\n", "got 'none'");
  says("  - {name: unified, adapters: [other, other]}\n", "other' twice");
  says("  - {name: unified, adapters: []}\n", "no training run");
  says(fmt::format("  - {{name: unified, {}}}\n  - {{name: unified, label: unified run 2}}\n",
                   kRuns),
       "'unified run 2' given twice");
  EXPECT_NE(refusal("  - {name: unified, adapters: [other, nowhere]}\n").find("nowhere"),
            std::string::npos);
}

TEST_F(AdapterSweep, WrongPatternsAreNamed) {
  const auto message = [&](const std::string& pattern) -> std::string {
    try {
      folder_.setup({"model.adapter=" + pattern});
    } catch (const Error& error) {
      return error.what();
    }
    ADD_FAILURE() << pattern;
    return "";
  };
  EXPECT_NE(message("nowhere/{strategy}-{target}x").find("nowhere/unified-1.5x"),
            std::string::npos);
  EXPECT_NE(message("a-{budget}").find("unknown field 'budget'"), std::string::npos);
  EXPECT_NE(message("a-{target").find("a brace"), std::string::npos);
  // unified has none.
  EXPECT_NE(message("a-{seed}").find("unknown field 'seed'"), std::string::npos);
}

}  // namespace
}  // namespace skipbench
