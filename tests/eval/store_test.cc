// Results files that cannot be used say why.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "eval/report/result_table.h"
#include "eval/store/response_scores.h"
#include "eval/store/schema.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

// Whether `action` throws a StoreError that holds `text`.
testing::AssertionResult says(const std::string& text, const std::function<void()>& action) {
  try {
    action();
  } catch (const StoreError& error) {
    if (std::string(error.what()).find(text) != std::string::npos) {
      return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << error.what();
  }
  return testing::AssertionFailure() << "no error";
}

void open(const std::string& path, OpenMode mode) { ResultStore store(path, mode); }

TEST(Store, MissingFile) {
  const SweepFolder folder;
  EXPECT_TRUE(
      says("no such results file", [&] { open(folder.path("none.db"), OpenMode::kReadOnly); }));
}

TEST(Store, AFolder) {
  const SweepFolder folder;
  for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite}) {
    EXPECT_TRUE(says("is a folder", [&] { open(folder.path(""), mode); }));
  }
}

TEST(Store, NotADatabase) {
  const SweepFolder folder;
  folder.write("text.db", std::string(5000, 'x'));
  for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite}) {
    EXPECT_TRUE(says("not a database", [&] { open(folder.path("text.db"), mode); }));
  }
}

TEST(Store, AnotherProgramsDatabase) {
  const SweepFolder folder;
  Database(folder.path("other.db"), OpenMode::kReadWrite).execute("CREATE TABLE cars(id)");
  EXPECT_TRUE(
      says("another program", [&] { open(folder.path("other.db"), OpenMode::kReadWrite); }));
  EXPECT_TRUE(says("another program", [&] { open(folder.path("other.db"), OpenMode::kReadOnly); }));
}

TEST(Store, NewerVersion) {
  const SweepFolder folder;
  open(folder.path("a.db"), OpenMode::kReadWrite);
  Database(folder.path("a.db"), OpenMode::kReadWrite).execute("PRAGMA user_version = 99");
  for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite}) {
    EXPECT_TRUE(says("newer skipbench", [&] { open(folder.path("a.db"), mode); }));
  }
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

// A version that its tables do not bear out, among them one that would index migrations wrongly.
TEST(Store, VersionsThatTheTablesAreNotOf) {
  const SweepFolder folder;
  const std::string path = folder.path("a.db");
  open(path, OpenMode::kReadWrite);
  Database(path, OpenMode::kReadWrite).execute("PRAGMA journal_mode = DELETE");
  for (const int64_t version :
       {int64_t{-1}, int64_t{-4}, int64_t{-2147483648}, int64_t{0}, int64_t{1}, int64_t{2},
        int64_t{3}, int64_t{4}, int64_t{5}, int64_t{6}, int64_t{7}, int64_t{8}, int64_t{9}}) {
    Database(path, OpenMode::kReadWrite)
        .execute("PRAGMA user_version = " + std::to_string(version));
    const std::string before = bytes_of(path);
    for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite}) {
      EXPECT_TRUE(says("a damaged results file", [&] { open(path, mode); })) << version;
      EXPECT_TRUE(says("restore a copy", [&] { open(path, mode); })) << version;
    }
    EXPECT_EQ(bytes_of(path), before) << version;
  }
  Database(path, OpenMode::kReadWrite)
      .execute("PRAGMA user_version = " + std::to_string(current_version()) +
               "; ALTER TABLE runs DROP COLUMN cpu");
  EXPECT_TRUE(says("no column runs.cpu", [&] { open(path, OpenMode::kReadOnly); }));
}

// What is refused keeps its journal mode and its write-ahead log.
TEST(Store, RefusedFilesKeepTheirBytes) {
  const SweepFolder folder;
  const std::string path = folder.path("a.db"), log = path + "-wal";
  for (const char* sql : {"CREATE TABLE cars(id)", "PRAGMA application_id = 7",
                          "PRAGMA journal_mode = WAL; CREATE TABLE cars(id)"}) {
    for (const std::string& file : {path, log}) std::filesystem::remove(file);
    {
      Database other(path, OpenMode::kReadWrite);
      other.fold_log_on_close(false);
      other.execute(sql);
    }
    const std::string before = bytes_of(path), log_before = bytes_of(log);
    EXPECT_TRUE(says("another program", [&] { open(path, OpenMode::kReadWrite); })) << sql;
    EXPECT_EQ(bytes_of(path), before) << sql;
    EXPECT_EQ(bytes_of(log), log_before) << sql;
  }
}

// Names that SQLite would take for something else, or the system for a shorter one.
TEST(Store, NamesThatMeanSomethingElsewhere) {
  const SweepFolder folder;
  const auto back = std::filesystem::current_path();
  std::filesystem::current_path(folder.path(""));
  for (const std::string name : {":memory:", "file:a.db", "a?b#c%20d.db", "a.db?mode=memory"}) {
    open(name, OpenMode::kReadWrite);
    EXPECT_EQ(count_in(name, "SELECT count(*) FROM runs"), 0) << name;
    EXPECT_GT(std::filesystem::file_size(name), 4096u) << name;
  }
  std::filesystem::current_path(back);
  open("/" + folder.path("slashes.db"), OpenMode::kReadWrite);
  EXPECT_EQ(count_in(folder.path("slashes.db"), "SELECT count(*) FROM runs"), 0);
  const std::string cut = folder.path(std::string("cut\0off.db", 10));
  for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite}) {
    EXPECT_TRUE(says("cut\\0off.db: a file name with a NUL", [&] { open(cut, mode); }));
  }
  EXPECT_FALSE(std::filesystem::exists(folder.path("cut")));
}

// A file of every older version, filled as that version filled it, is brought up to date by `run`
// and read as it is by everything else.
class OlderVersion : public testing::TestWithParam<int64_t> {};

TEST_P(OlderVersion, KeepsRunsCellsAndScores) {
  const SweepFolder folder;
  {
    Database database(folder.path("a.db"), OpenMode::kReadWrite);
    migrate_to(database, GetParam());
    database.execute(
        "INSERT INTO runs(id, started, ended, state, command, config, commit_hash, dirty_hash,"
        " compiler, flags, device, device_name, cpu, threads, instruction_set, load_average, model,"
        " model_hash, num_layers, peak_read_bytes_per_second, peak_flops_per_second)"
        " VALUES(1, 's', 'e', 'done', 'cmd', '{\"model\":{\"dtype\":\"f32\"}}',"
        " 'c', '', 'gcc', '-O2', 'cpu', 'n', 'cpu', 2, 'isa', 0.5, 'm', 'h', 6, NULL, NULL);"
        "INSERT INTO cells(id, identity, kind, resolved, status) VALUES"
        " (1, 'x', 'quality', '{}', 'done'), (2, 'y', 'quality', '{}', 'failed');"
        "INSERT INTO run_cells(run_id, ordinal, cell_id, strategy, target, dataset, batch) VALUES"
        " (1, 0, 1, 'full', 1, 'd', 1), (1, 1, 2, 'unified', 2, 'd', 1);"
        "INSERT INTO outputs VALUES(1, 0, 0, 3, '[5,6]', 'text', '[\"ref\"]', '[6,6]');"
        "INSERT INTO scores VALUES(1, 'ROUGE|r', 'ROUGE-1', 1, 0.25, NULL, NULL),"
        " (1, 'BLEU|b', 'BLEU', 0, 12.5, NULL, NULL), (1, 'ROUGE|r', 'ROUGE-L', 2, 0.5, 0.1, 0.2)");
    if (GetParam() >= 3) {  // from then on a run notes which scores it asked for
      database.execute("INSERT INTO run_scores VALUES(1, 0, 0, 'BLEU|b'), (1, 0, 1, 'ROUGE|r')");
    }
  }
  const auto check = [&](OpenMode mode) {
    ResultStore store(folder.path("a.db"), mode);
    const ResultTable table = load_result_table(store);
    ASSERT_EQ(table.rows.size(), 2u);
    EXPECT_EQ(table.rows[1].status, "failed");
    ASSERT_EQ(table.rows[0].scores.size(), 3u);
    EXPECT_EQ(table.rows[0].scores[0].name, "BLEU");
    EXPECT_EQ(table.rows[0].scores[0].value, 12.5);
    EXPECT_EQ(table.rows[0].scores[2].name, "ROUGE-L");
    EXPECT_EQ(table.rows[0].dataset, "d");
    EXPECT_EQ(table.run.command, "cmd");
    EXPECT_EQ(table.run.provenance.card.driver + table.run.provenance.card.uuid, "");
    EXPECT_FALSE(table.run.provenance.card.power_limit_watts);
    EXPECT_EQ(table.run.provenance.libraries.cuda_runtime, "");
    EXPECT_EQ(store.outputs(1).at(0).text, "text");
  };
  const auto version = [&] {
    Database database(folder.path("a.db"), OpenMode::kReadOnly);
    Statement statement(database, "PRAGMA user_version");
    statement.step();
    return statement.integer(0);
  };
  check(OpenMode::kReadOnly);
  EXPECT_EQ(version(), GetParam());  // reading changed nothing
  check(OpenMode::kReadWrite);
  EXPECT_EQ(version(), current_version());
  check(OpenMode::kReadOnly);
}

INSTANTIATE_TEST_SUITE_P(Each, OlderVersion, testing::Range<int64_t>(1, current_version()));

// Version 5 kept sums over all decoding steps, as JSON.
TEST(Store, SumsOfDriftOfVersion5) {
  const SweepFolder folder;
  {
    Database database(folder.path("a.db"), OpenMode::kReadWrite);
    migrate_to(database, 5);
    database.execute(
        "INSERT INTO cells(id, identity, kind, resolved, status) VALUES"
        " (1, 'x', 'quality', '{}', 'done'), (2, 'y', 'quality', '{}', 'done');"
        "INSERT INTO response_scores VALUES(1, '', 0, 3, 1, 0.5, 2), (2, ' ', 0, 1, 1, 0.5, 1);"
        "INSERT INTO layer_drift VALUES"
        " (1, '', 2, '{\"cosine\":[1.5,0.25],\"norm_ratio\":[2.0,4.5]}'),"
        " (2, ' ', 0, '{\"cosine\":[],\"norm_ratio\":[]}')");  // one token: no decoding step
  }
  for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kReadWrite}) {
    ResultStore store(folder.path("a.db"), mode);
    const StoredDrift drift = stored_drift(store, 1, "");
    EXPECT_EQ(drift.decoding.texts, 2);
    EXPECT_EQ(drift.decoding.cosine, (std::vector<double>{1.5, 0.25}));
    EXPECT_EQ(drift.decoding.norm_ratio, (std::vector<double>{2, 4.5}));
    EXPECT_TRUE(drift.steps.empty());
    EXPECT_EQ(stored_drift(store, 2, " ").decoding.texts, 0);
    EXPECT_EQ(measured_prefixes(store, 2), (std::vector<std::string>{" "}));
  }
  EXPECT_EQ(count_in(folder.path("a.db"), "SELECT count(*) FROM step_drift"), 1);
  EXPECT_EQ(count_in(folder.path("a.db"), "SELECT count(*) FROM layer_drift"), 2);
}

TEST(Store, EmptyFile) {
  const SweepFolder folder;
  folder.write("a.db", "");
  EXPECT_TRUE(
      says("an empty results file", [&] { open(folder.path("a.db"), OpenMode::kReadOnly); }));
}

TEST(Store, LockedByAnotherRun) {
  const SweepFolder folder;
  ResultStore first(folder.path("a.db"), OpenMode::kReadWrite);
  EXPECT_TRUE(says("another run", [&] { open(folder.path("a.db"), OpenMode::kReadWrite); }));
  // Readers are welcome meanwhile.
  ResultStore reader(folder.path("a.db"), OpenMode::kReadOnly);
  EXPECT_THROW(load_result_table(reader), Error);  // "holds no run"
}

TEST(Store, TheLockEndsWithItsHolder) {
  const SweepFolder folder;
  open(folder.path("a.db"), OpenMode::kReadWrite);
  EXPECT_NO_THROW(open(folder.path("a.db"), OpenMode::kReadWrite));
}

TEST(Store, ReadOnlyConnectionsDoNotWrite) {
  const SweepFolder folder;
  open(folder.path("a.db"), OpenMode::kReadWrite);
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  EXPECT_TRUE(says("read-only", [&] { store.begin_run({}); }));
}

TEST(Store, ReadOnlyFolder) {
  if (geteuid() == 0) GTEST_SKIP() << "root ignores permissions";
  const SweepFolder folder;
  open(folder.path("a.db"), OpenMode::kReadWrite);
  chmod(folder.path("a.db").c_str(), 0444);
  chmod(folder.path("").c_str(), 0555);
  EXPECT_TRUE(says("Permission denied", [&] { open(folder.path("a.db"), OpenMode::kReadWrite); }));
  EXPECT_NO_THROW(open(folder.path("a.db"), OpenMode::kReadOnly));
  chmod(folder.path("").c_str(), 0755);
}

TEST(Store, NoPlaceForTheFile) {
  EXPECT_TRUE(says("cannot write the results file",
                   [] { open("/proc/skipbench/a.db", OpenMode::kReadWrite); }));
}

TEST(Store, DiskFull) {
  const SweepFolder folder;
  ResultStore store(folder.path("a.db"), OpenMode::kReadWrite);
  store.database().execute("PRAGMA max_page_count = 30");
  const RunRecord big{.command = std::string(1 << 20, 'x')};
  EXPECT_TRUE(says("disk is full", [&] { store.begin_run(big); }));
  // What was there is whole, and smaller things still fit.
  EXPECT_NO_THROW(store.begin_run({}));
}

TEST(Store, ATransactionRollsBackUnlessCommitted) {
  const SweepFolder folder;
  Database database(folder.path("a.db"), OpenMode::kReadWrite);
  database.execute("CREATE TABLE t(x)");
  {
    Transaction transaction(database);
    database.execute("INSERT INTO t VALUES(1)");
  }
  {
    Transaction transaction(database);
    database.execute("INSERT INTO t VALUES(2)");
    transaction.commit();
  }
  Statement statement(database, "SELECT sum(x) FROM t");
  ASSERT_TRUE(statement.step());
  EXPECT_EQ(statement.integer(0), 2);
}

// Values come back as they were, the awkward ones too.
TEST(Store, ValuesRoundTrip) {
  const SweepFolder folder;
  Database database(folder.path("a.db"), OpenMode::kReadWrite);
  database.execute("CREATE TABLE t(a, b, c, d, e)");
  const std::string text("a\0b", 3);
  const double third = 1.0 / 3;
  Statement(database, "INSERT INTO t VALUES(?, ?, ?, ?, ?)")
      .bind(text, third, int64_t{1} << 62, std::optional<double>(), std::string_view())
      .run();
  Statement statement(database, "SELECT * FROM t");
  ASSERT_TRUE(statement.step());
  EXPECT_EQ(statement.text(0), text);
  EXPECT_EQ(statement.real(1), third);
  EXPECT_EQ(statement.integer(2), int64_t{1} << 62);
  EXPECT_TRUE(statement.is_null(3));
  EXPECT_FALSE(statement.is_null(4));
  EXPECT_EQ(statement.text(4), "");
}

}  // namespace
}  // namespace skipbench
