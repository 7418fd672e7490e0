// Outputs as text files: what `skipbench score` says of them is what the sweep's table says.
#include "eval/report/export_texts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "engine/base/text_file.h"
#include "eval/metrics/score_files.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

TextsExport exported(const SweepFolder& folder, const std::string& results,
                     const std::string& into) {
  ResultStore store(folder.path(results), OpenMode::kReadOnly);
  return export_texts(store, folder.path(into));
}

Json index_of(const SweepFolder& folder, const std::string& into) {
  return Json::parse(read_text_file(folder.path(into + "/index.json")));
}

std::vector<std::string> files_under(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files.push_back(std::filesystem::relative(entry.path(), folder).string());
    }
  }
  std::ranges::sort(files);
  return files;
}

TEST(ExportTexts, ScoreSaysOfThemWhatTheTableSays) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"timing.repetitions=0"}), SweepOutcome::kDone);
  const TextsExport written = exported(folder, "a.db", "out/texts");
  EXPECT_EQ(written.files, 5);
  EXPECT_TRUE(written.left_out.empty());
  EXPECT_EQ(
      files_under(folder.path("out/texts")),
      (std::vector<std::string>{"de-en/early_exit-1.5x.txt", "de-en/early_exit-3x.txt",
                                "de-en/full.txt", "de-en/reference.txt", "de-en/unified-1.5x.txt",
                                "de-en/unified-3x.txt", "index.json"}));
  const Json index = index_of(folder, "out/texts");
  ASSERT_EQ(index.at("datasets").size(), 1u);
  const Json& dataset = index["datasets"][0];
  EXPECT_EQ(dataset.at("dataset"), "de-en");
  EXPECT_EQ(dataset.at("examples"), 7);
  EXPECT_EQ(dataset.at("source"), folder.path("test.de"));
  EXPECT_EQ(dataset.at("references"), Json({"de-en/reference.txt"}));
  const auto lines = read_text_lines(folder.path("out/texts/de-en/reference.txt"));
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_EQ(lines[6], "sentence 6 of 2 words, the end .");
  const Json rows = folder.rows("a.db");
  ASSERT_EQ(dataset.at("files").size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const Json& file = dataset["files"][i];
    EXPECT_EQ(file.at("strategy"), rows[i]["strategy"]);
    EXPECT_EQ(file.at("target"), rows[i]["target"]);
    EXPECT_EQ(file.at("layers"), rows[i]["layers"]);
    const std::string path = folder.path("out/texts/" + file.at("file").get<std::string>());
    const std::string score =
        score_files({.metrics = {{"rouge", {}}},
                     .references = {folder.path("out/texts/de-en/reference.txt")},
                     .hypotheses = {path}});
    EXPECT_EQ(Json::parse(score)[0].at("score"), rows[i]["scores"][1]["score"]) << path;
  }
}

TEST(ExportTexts, NamesAreSafeAndLinesAreLines) {
  const SweepFolder folder;
  const std::string strategies =
      "strategies=[{name: full, label: reference.0}, {name: unified, label: '../../a b'},"
      " {name: fixed_exit, label: '.a/b'}, {name: random, label: '..'}]";
  const std::string both =
      "datasets.0.reference=[" + folder.path("test.en") + "," + folder.path("test.de") + "]";
  ASSERT_EQ(folder.run("a.db", {strategies, both, "datasets.0.name=../x/y", "targets=[2]",
                                "timing.repetitions=0"}),
            SweepOutcome::kDone);
  {
    Database database(folder.path("a.db"), OpenMode::kReadWrite);
    database.execute(
        "UPDATE outputs SET text = char(13) || char(10) || 'one' || char(10) || 'two' || char(13)"
        " WHERE idx = 3 AND cell_id = (SELECT cell_id FROM run_cells WHERE strategy = '..')");
    database.execute(
        "UPDATE outputs SET reference = json_array(reference ->> '$[0]') WHERE idx = 2");
  }
  const TextsExport written = exported(folder, "a.db", "texts");
  const std::vector<std::string> files = files_under(folder.path("texts"));
  EXPECT_EQ(files,
            (std::vector<std::string>{"_x_y/_-2x.txt", "_x_y/_a_b-2x-2.txt", "_x_y/_a_b-2x.txt",
                                      "_x_y/reference.0-2.txt", "_x_y/reference.0.txt",
                                      "_x_y/reference.1.txt", "index.json"}));
  for (const std::string& file : files) {
    if (file == "index.json") continue;
    EXPECT_EQ(read_text_lines(folder.path("texts/" + file)).size(), 7u) << file;
  }
  EXPECT_EQ(read_text_lines(folder.path("texts/_x_y/_-2x.txt"), CarriageReturn::kKeep)[3],
            " one two ");
  EXPECT_GE(written.line_breaks, 3);
  EXPECT_EQ(written.repeated_references, 1);
  EXPECT_EQ(read_text_lines(folder.path("texts/_x_y/reference.1.txt"))[2],
            read_text_lines(folder.path("texts/_x_y/reference.0.txt"))[2]);
  const Json index = index_of(folder, "texts");
  EXPECT_EQ(index["datasets"][0]["files"][3]["strategy"], "..");
  EXPECT_EQ(index["datasets"][0]["files"][3]["file"], "_x_y/_-2x.txt");
}

TEST(ExportTexts, EachPointOfAMatrixHasAFolder) {
  const SweepFolder folder;
  folder.write_config(folder.config_text() + "matrix: {seeds: [1, 2]}\n");
  std::vector<SweepSetup> setups = prepare_sweeps(load_sweep_variants(
      folder.path("sweep.yaml"),
      std::vector<std::string>{"results=" + folder.path("a.db"), "timing.repetitions=0",
                               "strategies=[full, random]", "targets=[2]"}));
  ASSERT_EQ(run_sweep(setups, {}), SweepOutcome::kDone);
  EXPECT_EQ(exported(folder, "a.db", "texts").files, 4);
  EXPECT_EQ(files_under(folder.path("texts")),
            (std::vector<std::string>{"de-en-seed=1/full.txt", "de-en-seed=1/random-2x.txt",
                                      "de-en-seed=1/reference.txt", "de-en-seed=2/full.txt",
                                      "de-en-seed=2/random-2x.txt", "de-en-seed=2/reference.txt",
                                      "index.json"}));
  EXPECT_EQ(index_of(folder, "texts")["datasets"][1]["variant"], "seed=2");
}

TEST(ExportTexts, EachRunOfARowHasAFileAndTheIndexNamesTheRow) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"strategies=[full, {name: random, label: chance, seeds: 2}]",
                                "targets=[2]", "timing.repetitions=0"}),
            SweepOutcome::kDone);
  exported(folder, "a.db", "texts");
  const Json files = index_of(folder, "texts")["datasets"][0]["files"];
  ASSERT_EQ(files.size(), 3u);
  EXPECT_FALSE(files[0].contains("group"));
  EXPECT_EQ(files[2]["file"], "de-en/chance_seed_1-2x.txt");
  EXPECT_EQ(files[2]["group"], "chance");
}

TEST(ExportTexts, AnUnfinishedCellIsLeftOutAndNamed) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"strategies=[full, unified]", "timing.repetitions=0"}),
            SweepOutcome::kDone);
  const auto set_status = [&](const std::string& where) {
    Database(folder.path("a.db"), OpenMode::kReadWrite)
        .execute("UPDATE cells SET status = 'interrupted' WHERE " + where);
  };
  set_status("id = (SELECT cell_id FROM run_cells WHERE strategy = 'unified' AND target = 3)");
  const TextsExport written = exported(folder, "a.db", "texts");
  EXPECT_EQ(written.left_out, (std::vector<std::string>{"unified 3x, de-en: interrupted"}));
  EXPECT_EQ(written.files, 2);
  EXPECT_NE(message_of([&] { exported(folder, "a.db", "texts"); }).find("new or empty"),
            std::string::npos);
  set_status("true");
  EXPECT_NE(message_of([&] { exported(folder, "a.db", "other"); }).find("no scored outputs"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder.path("other")));
}

}  // namespace
}  // namespace skipbench
