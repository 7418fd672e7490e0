// Sweeps in which strategies have LoRA adapters of their own.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sstream>

#include "engine/base/error.h"
#include "engine/weights/load.h"
#include "eval/report/render.h"
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
