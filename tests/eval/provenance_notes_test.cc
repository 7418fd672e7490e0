// What stands below a table: several machines, adapters and weight types are said where rows
// differ.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/weights/load.h"
#include "eval/report/notes.h"
#include "eval/report/render.h"
#include "eval/report/report.h"
#include "eval/store/merge.h"
#include "eval/weight_types.h"
#include "tests/eval/sweep_fixture.h"
#include "tests/weights/model_writer.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

ResultTable stored_table(const std::string& path) {
  ResultStore store(path, OpenMode::kReadOnly);
  return load_result_table(store);
}

std::string all_of(const std::vector<std::string>& notes) {
  std::string text;
  for (const std::string& note : notes) text += note + "\n";
  return text;
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// As if the run of a file had been on another machine.
void move_to(const std::string& path, const std::string& cpu) {
  Database(path, OpenMode::kReadWrite)
      .execute("UPDATE runs SET device_name = '" + cpu + "', cpu = '" + cpu +
               "', threads = 3, instruction_set = 'isa', peak_read_bytes_per_second = 5e9 WHERE"
               " peak_read_bytes_per_second IS NOT NULL;"
               "UPDATE cells SET resolved = json_set(resolved, '$.machine',"
               " json_array('cpu', '" +
               cpu + "', '" + cpu +
               "', 3, 'isa')), identity = identity || 'x' WHERE kind = 'timing'");
}

constexpr char kMoved[] = "Other CPU / isa / 3 threads";

class SeveralMachines : public testing::Test {
 protected:
  // Each part has one timing group and some of the quality cells.
  void SetUp() override {
    std::vector<std::string> files;
    for (int i = 1; i <= 2; ++i) {
      const std::string name = fmt::format("{}.db", i);
      ASSERT_EQ(folder_.run(name, {}, {.shard = {i, 2}}), SweepOutcome::kDone);
      files.push_back(folder_.path(name));
    }
    merge_stores(files, folder_.path("alike.db"), "skipbench merge");
    move_to(files[1], "Other CPU");
    merge_stores(files, folder_.path("joined.db"), "skipbench merge");
  }

  SweepFolder folder_;
};

TEST_F(SeveralMachines, AreListedWithTheirCells) {
  const ResultTable alike = stored_table(folder_.path("alike.db"));
  EXPECT_EQ(alike.machines.size(), 1u);
  EXPECT_FALSE(holds(all_of(reading_notes(alike)), "machines"));
  EXPECT_TRUE(holds(all_of(provenance_notes(alike)), "load ")) << "the usual line of the run";

  const ResultTable table = stored_table(folder_.path("joined.db"));
  ASSERT_EQ(table.machines.size(), 2u);
  const std::string text = render_table(table, "md");
  EXPECT_TRUE(holds(text, "timed on different machines")) << text;
  EXPECT_TRUE(holds(text, "scored on different machines")) << text;
  EXPECT_TRUE(holds(text, "Device cpu (Other CPU / isa / 3 threads) scored ")) << text;
  EXPECT_TRUE(holds(text, "; measured peaks: 5.00 GB/s read")) << text;
  EXPECT_FALSE(holds(text, "at the start.")) << "one run's device is not that of all:\n" << text;
  std::vector<int64_t> timed;
  for (const MachineUse& use : machines_used(table)) {
    EXPECT_EQ(use.timings.size(), 1u);  // a group is one batch size
    EXPECT_EQ(use.timed, 5);
    timed.push_back(use.scored);
  }
  ASSERT_EQ(timed.size(), 2u);
  EXPECT_EQ(timed[0] + timed[1], 5);

  const std::string latex = render_table(table, "latex");
  const size_t remarks = latex.find("\\end{tabular}\n\\par\\smallskip\n\\parbox{\\linewidth}{");
  ASSERT_NE(remarks, std::string::npos) << latex;
  EXPECT_GT(latex.find("timed on different machines (below)"), remarks);
  EXPECT_TRUE(holds(latex, "Device cpu (Other CPU / isa / 3 threads) scored ")) << latex;
  EXPECT_LT(latex.find("\\par\n}\n\\caption{"), latex.find("\\end{table}")) << latex;

  const Json json = Json::parse(render_table(table, "json"));
  ASSERT_EQ(json.at("machines").size(), 2u);
  int of_machines = 0;
  for (const Json& note : json.at("notes")) {
    of_machines += holds(note.get<std::string>(), "on different machines (below)");
  }
  EXPECT_EQ(of_machines, 2);  // timed and scored
  int moved = 0;
  for (const Json& row : json.at("rows")) moved += row.at("machine") == kMoved;
  EXPECT_EQ(moved, 5);
  ResultStore store(folder_.path("joined.db"), OpenMode::kReadOnly);
  const std::string page = html_report(store, table, {});
  EXPECT_TRUE(holds(page, "timed on different machines"));
  EXPECT_TRUE(holds(page, kMoved));
}

// A table of some rows speaks of their machines alone.
TEST_F(SeveralMachines, OfTheRowsShown) {
  const std::string text =
      render_table(stored_table(folder_.path("joined.db")), "md",
                   {.columns = {"batch", "machine"}, .where = {"machine=" + std::string(kMoved)}});
  EXPECT_FALSE(holds(text, "timed on different machines")) << text;
  EXPECT_TRUE(holds(text, "| Other CPU / isa / 3 threads |")) << text;
}

// A matrix over devices is no mixture, and a quality cell that names its device alone is on the
// card that was timed. Whose peaks the run kept is not known.
TEST(Machines, OfASecondDevice) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"targets=[3]"}), SweepOutcome::kDone);
  Database(folder.path("a.db"), OpenMode::kReadWrite)
      .execute(
          "INSERT INTO run_variants SELECT run_id, 1, 'device=cuda', model, model_hash, num_layers,"
          " dtype, 'cuda', 'a GPU', weights FROM run_variants;"
          "UPDATE run_cells SET variant = 'device=cuda' WHERE strategy = 'unified';"
          "UPDATE cells SET resolved = json_set(resolved, '$.device', 'cuda') WHERE id IN"
          " (SELECT cell_id FROM run_cells WHERE strategy = 'unified');"
          "UPDATE cells SET resolved = json_set(resolved, '$.machine', json_array('cuda', 'a GPU',"
          " (SELECT cpu FROM runs), 7, 'sm_90')) WHERE kind = 'timing' AND id IN"
          " (SELECT cell_id FROM run_cells WHERE strategy = 'unified')");
  const ResultTable table = stored_table(folder.path("a.db"));
  ASSERT_EQ(table.machines.size(), 2u);
  for (const TableRow& row : table.rows) {
    const size_t want = row.strategy == "unified" ? 1 : 0;
    EXPECT_EQ(row.scored_on, std::vector<size_t>{want}) << row.strategy;
    EXPECT_EQ(row.timed_on, std::vector<size_t>{want}) << row.strategy;
  }
  EXPECT_EQ(table.machines[1].threads, 7);
  EXPECT_EQ(table.machines[0].peak_read_bytes_per_second, 0);
  EXPECT_FALSE(holds(all_of(reading_notes(table)), "machines")) << all_of(reading_notes(table));
  EXPECT_TRUE(holds(all_of(provenance_notes(table)), "Device cuda (a GPU beside "));
}

// An adapter of rank 1 for the matrix `module` of layer 0.
void write_lora(const SweepFolder& folder, const std::string& name) {
  std::filesystem::create_directories(folder.path(name));
  folder.write(name + "/adapter_config.json",
               R"({"peft_type": "LORA", "r": 1, "lora_alpha": 0.1, "bias": "none"})");
  const std::string module = "base_model.model.model.layers.0.mlp.down_proj";
  folder.write(name + "/adapter_model.safetensors",
               test::safetensors_bytes(
                   {{module + ".lora_A.weight", {1, 40}}, {module + ".lora_B.weight", {24, 1}}}));
}

TEST(AdapterNotes, SayWhatWasTrained) {
  const SweepFolder folder;
  write_lora(folder, "u-1.5");
  const std::vector<std::string> overrides = {"timing.repetitions=0",
                                              "strategies.unified.adapter=" + folder.path("u-1.5"),
                                              "strategies.unified.targets=[1.5]", "targets=[1, 3]"};
  ASSERT_EQ(folder.run("a.db", overrides), SweepOutcome::kDone);
  const ResultTable table = stored_table(folder.path("a.db"));
  const std::string notes = all_of(reading_notes(table));
  EXPECT_EQ(notes,
            "With a LoRA adapter merged into the weights: unified; without: full, early_exit.\n"
            "early_exit 3x is fine-tuned in its paper and ran without an adapter here.\n");
  const std::string text = render_table(table, "md");
  EXPECT_TRUE(holds(text, notes)) << text;
  EXPECT_FALSE(holds(text, "| adapter")) << "on request alone:\n" << text;
  EXPECT_EQ(render_table(table, "csv", {.columns = {"strategy", "target", "adapter"}}),
            "strategy,target,adapter\nfull,1,\nunified,1.5," + folder.path("u-1.5") +
                "\nearly_exit,1,\nearly_exit,3,\n");
  EXPECT_EQ(folder.rows("a.db")[1].at("adapter"), folder.path("u-1.5"));
  EXPECT_EQ(folder.rows("a.db")[0].at("adapter"), "");

  // An older version noted no adapter: the model's hash tells.
  Database(folder.path("a.db"), OpenMode::kReadWrite)
      .execute("UPDATE run_cells SET adapter = NULL, weights = NULL");
  const ResultTable older = stored_table(folder.path("a.db"));
  EXPECT_EQ(all_of(reading_notes(older)), notes);
  EXPECT_EQ(older.rows[1].adapter, folder.path("u-1.5"));  // here the pattern is the name
}

TEST(WeightNotes, SayTheTypes) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"timing.repetitions=0"}), SweepOutcome::kDone);
  const std::string notes = all_of(provenance_notes(stored_table(folder.path("a.db"))));
  EXPECT_TRUE(holds(notes, "(6 layers, f32 weights, f32 activations and cache, hash ")) << notes;
  EXPECT_EQ(folder.rows("a.db")[0].at("weights"), "f32");
  Database(folder.path("a.db"), OpenMode::kReadWrite)
      .execute(
          "UPDATE run_variants SET weights = 'q4_1 41 tensors, q8_0 1';"
          "UPDATE run_cells SET weights = 'q4_1 20 tensors, f16 21, q8_0 1';"
          "UPDATE run_cells SET weights = 'q4_1 40 tensors, f16 1, q8_0 1' WHERE target = 3");
  const ResultTable changed = stored_table(folder.path("a.db"));
  EXPECT_TRUE(holds(all_of(provenance_notes(changed)), "; weights: q4_1 41 tensors, q8_0 1)."));
  EXPECT_TRUE(holds(all_of(reading_notes(changed)),
                    "Weights of unified 3x, early_exit 3x: q4_1 40 tensors, f16 1, q8_0 1 (`full`: "
                    "q4_1 20 tensors, f16 21, q8_0 1).\n"))
      << all_of(reading_notes(changed));
  EXPECT_EQ(Json::parse(render_table(changed, "json")).at("run").at("weights"),
            "q4_1 41 tensors, q8_0 1");
}

TEST(WeightTypes, AreCounted) {
  const SweepFolder folder;
  LoadedModel model = load_model("synthetic:" + folder.path("model.json") + ":3");
  EXPECT_EQ(weight_types(model.weights), "f32");
  model.weights.layers[2].down.parts.at(0).type = DType::kF16;
  const std::string types = weight_types(model.weights);
  EXPECT_TRUE(types.starts_with("f32 ") && types.ends_with(" tensors, f16 1")) << types;
}

}  // namespace
}  // namespace skipbench
