// A sweep in shards, joined again, is the sweep; files that disagree are refused.
#include "eval/store/merge.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "engine/base/error.h"
#include "eval/report/export.h"
#include "eval/store/probes.h"
#include "eval/sweep/shard.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

void change(const std::string& path, const std::string& sql) {
  Database(path, OpenMode::kReadWrite).execute(sql);
}

class Merge : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }

  std::vector<std::string> run_shards(int shards, const std::string& prefix) {
    std::vector<std::string> files;
    for (int i = 1; i <= shards; ++i) {
      const std::string name = fmt::format("{}{}.db", prefix, i);
      EXPECT_EQ(folder_.run(name, {}, {.shard = {i, shards}}), SweepOutcome::kDone);
      files.push_back(path(name));
    }
    return files;
  }

  SweepFolder folder_;
};

// A killed run and the one that follows it may have begun in the same second.
TEST_F(Merge, RunsOfOneFileStayApart) {
  for (const int part : {1, 2}) {
    const std::string name = fmt::format("{}.db", part);
    const std::vector<std::string> untimed = {"timing.repetitions=0"};
    for (int again = 0; again < 3; ++again) {
      ASSERT_EQ(folder_.run(name, untimed, {.shard = {part, 2}}), SweepOutcome::kDone);
    }
    change(path(name), "UPDATE runs SET started = '2026-11-24T13:20:00Z', load_average = 1");
  }
  const std::vector<std::string> files = {path("1.db"), path("2.db")};
  EXPECT_EQ(merge_stores(files, path("all.db"), "").done, 5);
  const std::vector<std::string> copies = {path("all.db"), path("2.db"), path("1.db")};
  EXPECT_EQ(merge_stores(copies, path("again.db"), "").done, 5);
}

TEST_F(Merge, OfProbingsAlikeTheLatestIsKept) {
  const auto files = run_shards(2, "p");
  const auto add = [&](const std::string& file, const std::string& identity,
                       const std::string& result) {
    ResultStore store(file, OpenMode::kReadWrite);
    add_probe(store, {identity, "probe", "c0ffee", "a CPU", result});
  };
  add(files[0], "one", "{\"of\": 1}");
  add(files[0], "both", "{\"of\": 1}");
  add(files[1], "both", "{\"of\": 2}");
  add(files[1], "two", "{\"of\": 2}");
  change(files[0], "UPDATE probes SET probed = '2026-11-24T13:20:00Z'");
  change(files[1], "UPDATE probes SET probed = '2026-11-24T13:20:01Z'");
  // Whichever comes first.
  for (const auto& order : {files, std::vector<std::string>{files[1], files[0]}}) {
    const std::string joined = path(order == files ? "j1.db" : "j2.db");
    merge_stores(order, joined, "");
    ResultStore store(joined, OpenMode::kReadOnly);
    std::map<std::string, std::string> found;
    for (const ProbeRecord& record : probes(store)) found[record.identity] = record.result;
    EXPECT_EQ(found, (std::map<std::string, std::string>{
                         {"one", "{\"of\": 1}"}, {"both", "{\"of\": 2}"}, {"two", "{\"of\": 2}"}}));
  }
  ResultStore store(files[0], OpenMode::kReadWrite);
  store.clear();  // a sweep's --fresh
  EXPECT_EQ(probes(store).size(), 2u);
}

// A machine that only probed has a file without a run.
TEST_F(Merge, AFileOfProbingsAloneIsJoined) {
  const auto files = run_shards(2, "p");
  ResultStore(path("probed.db"), OpenMode::kReadWrite);
  {
    ResultStore store(path("probed.db"), OpenMode::kReadWrite);
    add_probe(store, {"one", "probe", "c0ffee", "a CPU", "{}"});
  }
  const std::vector<std::string> all = {path("probed.db"), files[0], files[1]};
  EXPECT_EQ(merge_stores(all, path("joined.db"), "").done, 15);
  ResultStore store(path("joined.db"), OpenMode::kReadOnly);
  EXPECT_EQ(probes(store).size(), 1u);
}

TEST_F(Merge, ShardsTogetherAreTheSweep) {
  ASSERT_EQ(folder_.run("whole.db"), SweepOutcome::kDone);
  for (const int shards : {2, 4}) {
    const auto files = run_shards(shards, fmt::format("of{}-", shards));
    int64_t done = 0;
    for (const std::string& file : files) {
      done += count_in(file, "SELECT count(*) FROM cells WHERE status = 'done'");
    }
    EXPECT_EQ(done, 15);  // none twice
    const std::string merged = path(fmt::format("all{}.db", shards));
    const MergeSummary summary = merge_stores(files, merged, "skipbench merge");
    EXPECT_EQ(summary.cells, 15);
    EXPECT_EQ(summary.done, 15);
    const std::string name = std::filesystem::path(merged).filename();
    EXPECT_EQ(folder_.untimed_rows(name), folder_.untimed_rows("whole.db"));
    for (const Json& row : folder_.rows(name)) EXPECT_TRUE(row.at("speedup").is_number()) << row;
    for (const char* sql : {"SELECT count(*) FROM outputs", "SELECT count(*) FROM samples",
                            "SELECT count(*) FROM scores", "SELECT count(*) FROM timing_groups"}) {
      EXPECT_EQ(count_in(merged, sql), count_in(path("whole.db"), sql)) << sql;
    }
    EXPECT_EQ(count_in(merged, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    // A run finds all of it done.
    std::ostringstream log;
    ASSERT_EQ(folder_.run(name, {}, {.log = &log}), SweepOutcome::kDone);
    EXPECT_NE(log.str().find("all 15 cells are done"), std::string::npos) << log.str();
  }
}

TEST_F(Merge, TakesTheFinishedCellAndKeepsNothingTwice) {
  const auto files = run_shards(2, "s");
  std::filesystem::copy_file(files[0], path("copy.db"));
  // One that was interrupted in the middle of what the first file has whole.
  change(path("copy.db"),
         "UPDATE cells SET status = 'interrupted' WHERE kind = 'quality';"
         "DELETE FROM outputs WHERE idx > 2; DELETE FROM scores;");
  const std::vector<std::string> inputs = {path("copy.db"), files[0], files[1], files[0]};
  const MergeSummary summary = merge_stores(inputs, path("all.db"), "skipbench merge");
  EXPECT_EQ(summary.done, 15);
  const std::vector<std::string> plain = {files[0], files[1]};
  merge_stores(plain, path("plain.db"), "skipbench merge");
  for (const char* table :
       {"outputs", "samples", "scores", "cells", "timing_groups", "calibrations", "runs"}) {
    const std::string sql = fmt::format("SELECT count(*) FROM {}", table);
    EXPECT_EQ(count_in(path("all.db"), sql), count_in(path("plain.db"), sql)) << table;
  }
  EXPECT_EQ(folder_.rows("all.db"), folder_.rows("plain.db"));
}

TEST_F(Merge, ConflictsAreShownAndNothingIsWritten) {
  ASSERT_EQ(folder_.run("a.db"), SweepOutcome::kDone);
  std::filesystem::copy_file(path("a.db"), path("b.db"));
  change(path("b.db"),
         "UPDATE runs SET started = 'another time';"
         "UPDATE outputs SET text = 'other words' WHERE cell_id = 1 AND idx = 3;"
         "UPDATE scores SET score = score + 1 WHERE cell_id = 4 AND name = 'BLEU';"
         "UPDATE calibrations SET threshold = 0.123 WHERE id = 1");
  const std::vector<std::string> inputs = {path("a.db"), path("b.db")};
  const std::string message =
      message_of([&] { merge_stores(inputs, path("all.db"), "skipbench merge"); });
  for (const char* part : {"nothing was written", "output 3: text is 'other words'", "BLEU is",
                           "threshold 0.123", "b.db"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << "\n" << message;
  }
  for (const auto& entry : std::filesystem::directory_iterator(path(""))) {
    EXPECT_EQ(entry.path().string().find("all.db"), std::string::npos) << entry.path();
  }
}

// Neither of two cells that a table would show in one place is hidden.
TEST_F(Merge, OnePointUnderTwoSettingsIsRefused) {
  ASSERT_EQ(folder_.run("a.db", {"timing.repetitions=0"}), SweepOutcome::kDone);
  ASSERT_EQ(folder_.run("b.db", {"timing.repetitions=0", "strategies.early_exit.params.min_layer=2",
                                 "decoding.max_new_tokens=3"}),
            SweepOutcome::kDone);
  const std::vector<std::string> inputs = {path("a.db"), path("b.db")};
  const std::string message =
      message_of([&] { merge_stores(inputs, path("all.db"), "skipbench merge"); });
  for (const char* part : {"nothing was written", "unified 1.5x, de-en, batch",
                           "(quality): max_new_tokens\n", "params", "early_exit"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << "\n" << message;
  }
  EXPECT_FALSE(std::filesystem::exists(path("all.db")));
}

// Shards of which one took over an earlier build's quality, and with it its calibration.
TEST_F(Merge, QualityAndSpeedUnderTwoCalibrationsAreRefused) {
  const auto files = run_shards(3, "s");
  for (const std::string& file : files) {
    change(file,
           "UPDATE cells SET resolved = json_set(resolved, '$.calibration', 'another one'),"
           " identity = identity || 'x' WHERE kind = 'quality' AND status = 'done' AND"
           " resolved ->> '$.strategy' = 'early_exit'");
  }
  const std::string message =
      message_of([&] { merge_stores(files, path("all.db"), "skipbench merge"); });
  EXPECT_NE(message.find("early_exit 1.5x, de-en: calibration, between its quality and its speeds"),
            std::string::npos)
      << message;
  EXPECT_FALSE(std::filesystem::exists(path("all.db")));
}

TEST_F(Merge, RefusesWhatItCannotDo) {
  ASSERT_EQ(folder_.run("a.db", {"timing.repetitions=0"}), SweepOutcome::kDone);
  const std::vector<std::string> one = {path("a.db")}, absent = {path("a.db"), path("no.db")};
  EXPECT_NE(message_of([&] { merge_stores(one, path("a.db"), ""); }).find("there already"),
            std::string::npos);
  EXPECT_NE(message_of([&] { merge_stores(absent, path("c.db"), ""); }).find("no.db"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path("c.db")));
  for (const char* text : {"", "0/2", "3/2", "1", "1/", "a/b", "1/2/3", "1/0", "-1/2"}) {
    EXPECT_NE(message_of([&] { parse_shard(text); }).find("--shard"), std::string::npos) << text;
  }
}

// A file that lost rows is named with what it lacks.
TEST_F(Merge, NamesWhatAnInputLacks) {
  ASSERT_EQ(folder_.run("a.db"), SweepOutcome::kDone);
  const struct {
    std::string sql, says;
  } kCases[] = {{"DELETE FROM runs", "names run 1"},
                {"DELETE FROM cells WHERE id = 2", "names cell 2"},
                {"DELETE FROM timing_groups WHERE id = 1", "names timing group 1"},
                {"DELETE FROM calibrations", "names calibration"}};
  for (const auto& one : kCases) {
    std::filesystem::copy_file(path("a.db"), path("b.db"),
                               std::filesystem::copy_options::overwrite_existing);
    change(path("b.db"), one.sql);
    const std::vector<std::string> inputs = {path("b.db")};
    const std::string message = message_of([&] { merge_stores(inputs, path("all.db"), ""); });
    for (const std::string& part : {path("b.db"), one.says, std::string("restore a copy")}) {
      EXPECT_NE(message.find(part), std::string::npos) << one.sql << ": " << message;
    }
    EXPECT_FALSE(std::filesystem::exists(path("all.db")));
  }
  ResultStore(path("empty.db"), OpenMode::kReadWrite);
  const std::vector<std::string> empty = {path("empty.db")};
  EXPECT_NE(message_of([&] { merge_stores(empty, path("all.db"), ""); }).find("leave it out"),
            std::string::npos);
}

TEST_F(Merge, GroupsAreNeverTornApart) {
  const SweepSetup setup = folder_.setup();
  for (int shards = 1; shards <= 20; ++shards) {
    std::vector<int> owners(setup.cells.size(), 0);
    std::set<std::pair<int64_t, int>> groups;  // batch, shard
    for (int i = 1; i <= shards; ++i) {
      const auto ours = cells_of_shard(std::span(&setup, 1), {i, shards});
      for (size_t c = 0; c < setup.cells.size(); ++c) {
        owners[c] += ours[0][c] ? 1 : 0;
        if (ours[0][c] && setup.cells[c].key.kind == "timing") {
          groups.insert({setup.cells[c].key.batch, i});
        }
      }
    }
    for (const int owner : owners) EXPECT_EQ(owner, 1);
    EXPECT_EQ(groups.size(), 2u);  // two batch sizes
  }
}

}  // namespace
}  // namespace skipbench
