// What stands below a table: several machines, adapters and weight types are said where rows
// differ.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "eval/report/notes.h"
#include "eval/report/render.h"
#include "eval/report/report.h"
#include "eval/store/merge.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

ResultTable table_of(const std::string& path) {
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
  const ResultTable alike = table_of(folder_.path("alike.db"));
  EXPECT_EQ(alike.machines.size(), 1u);
  EXPECT_EQ(all_of(reading_notes(alike)), "");
  EXPECT_TRUE(holds(all_of(provenance_notes(alike)), "load ")) << "the usual line of the run";

  const ResultTable table = table_of(folder_.path("joined.db"));
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

  const Json json = Json::parse(render_table(table, "json"));
  ASSERT_EQ(json.at("machines").size(), 2u);
  EXPECT_EQ(json.at("notes").size(), 2u);
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
      render_table(table_of(folder_.path("joined.db")), "md",
                   {.columns = {"batch", "machine"}, .where = {"machine=" + std::string(kMoved)}});
  EXPECT_FALSE(holds(text, "timed on different machines")) << text;
  EXPECT_TRUE(holds(text, "| Other CPU / isa / 3 threads |")) << text;
}

}  // namespace
}  // namespace skipbench
