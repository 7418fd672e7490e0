// What a results file survives: kills, a disk without room, damaged pages, a second run.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "engine/base/error.h"
#include "eval/report/comparison.h"
#include "eval/report/export.h"
#include "eval/report/export_depths.h"
#include "eval/report/render.h"
#include "eval/report/report.h"
#include "tests/eval/sweep_fixture.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

std::set<std::string> done_cells(const std::string& path) {
  std::set<std::string> done;
  Database database(path, OpenMode::kReadOnly);
  Statement tables(database, "SELECT count(*) FROM sqlite_master WHERE name = 'cells'");
  tables.step();
  if (tables.integer(0) == 0) return done;
  Statement statement(database, "SELECT identity FROM cells WHERE status = 'done'");
  while (statement.step()) done.insert(statement.text(0));
  return done;
}

std::string one_text(const std::string& path, const std::string& sql) {
  Database database(path, OpenMode::kReadOnly);
  Statement statement(database, sql);
  return statement.step() ? statement.text(0) : "";
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

// Sweeps are killed at random moments, fifty times; one that gets through is compared with one that
// nobody disturbed, and the next starts from nothing.
constexpr int kKills = kSanitized ? 8 : 50;

TEST(NothingLost, KilledAtFiftyMoments) {
  const SweepFolder folder;
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(folder.run("whole.db"), SweepOutcome::kDone);
  const double whole_us =
      std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  const auto want = folder.untimed_rows("whole.db");
  std::mt19937 random(29);
  int kills = 0, sweeps = 0, with_results = 0;
  std::set<std::string> before;
  for (int attempt = 0; kills < kKills; ++attempt) {
    ASSERT_LT(attempt, 200) << "the sweeps end before they are killed";
    const std::string results = fmt::format("killed{}.db", sweeps);
    const double moment = std::uniform_real_distribution<>(0.05, 1)(random) * whole_us;
    const int status = run_in_child([&] { return static_cast<int>(folder.run(results)); },
                                    static_cast<int64_t>(moment), SIGKILL);
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
      EXPECT_EQ(folder.untimed_rows(results), want);
      ++sweeps;
      before.clear();
      continue;
    }
    ++kills;
    if (!std::filesystem::exists(folder.path(results))) continue;
    ASSERT_EQ(one_text(folder.path(results), "PRAGMA integrity_check"), "ok");
    const std::set<std::string> after = done_cells(folder.path(results));
    for (const std::string& cell : before) EXPECT_TRUE(after.contains(cell)) << cell;
    with_results += after.empty() ? 0 : 1;
    before = after;
  }
  EXPECT_GE(with_results, kKills / 10) << "the kills came before there was anything to lose";
}

// As on a full disk, writes fail from some moment on; with room again the sweep goes on.
TEST(NothingLost, NoRoomForTheFile) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("whole.db"), SweepOutcome::kDone);
  for (const rlim_t kilobytes : {30, 90, 150}) {
    const std::string results = fmt::format("full{}.db", kilobytes);
    const int status = run_in_child([&] {
      signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{kilobytes << 10, RLIM_INFINITY};
      setrlimit(RLIMIT_FSIZE, &limit);
      try {
        folder.run(results);
      } catch (const StoreError& error) {
        const std::string message = error.what();
        return message.find("disk") != std::string::npos ? 42 : 43;
      }
      return 44;
    });
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_EQ(WEXITSTATUS(status), 42) << kilobytes;
    const std::set<std::string> kept = done_cells(folder.path(results));
    ASSERT_EQ(folder.run(results), SweepOutcome::kDone);
    const std::set<std::string> all = done_cells(folder.path(results));
    for (const std::string& cell : kept) EXPECT_TRUE(all.contains(cell));
    EXPECT_EQ(folder.untimed_rows(results), folder.untimed_rows("whole.db"));
  }
}

// A run that starts over gives up nothing before it can begin.
TEST(NothingLost, FreshKeepsWhatItCannotReplace) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"timing.repetitions=0"}), SweepOutcome::kDone);
  const std::set<std::string> done = done_cells(folder.path("a.db"));
  ASSERT_EQ(done.size(), 5u);
  const auto setup = [&] {
    return folder.setup({"timing.repetitions=0", "results=" + folder.path("a.db")});
  };
  const SweepOptions fresh{.fresh = true};

  SweepSetup no_text = setup();
  no_text.config.name = "\xff";
  EXPECT_NE(message_of([&] { run_sweep(std::move(no_text), fresh); }), "");
  EXPECT_EQ(done_cells(folder.path("a.db")), done);

  SweepSetup no_cells = setup();
  no_cells.cells.clear();
  EXPECT_EQ(run_sweep(std::move(no_cells), fresh), SweepOutcome::kSomeFailed);
  EXPECT_EQ(done_cells(folder.path("a.db")), done);

  SweepSetup no_model = setup();
  no_model.release_models();
  std::filesystem::rename(folder.path("model.json"), folder.path("elsewhere.json"));
  EXPECT_NE(message_of([&] { run_sweep(std::move(no_model), fresh); }), "");
  EXPECT_EQ(done_cells(folder.path("a.db")), done);
  std::filesystem::rename(folder.path("elsewhere.json"), folder.path("model.json"));

  ASSERT_EQ(run_sweep(setup(), fresh), SweepOutcome::kDone);
  EXPECT_EQ(count_in(folder.path("a.db"), "SELECT count(*) FROM runs"), 1);
}

// Each page in turn is filled with nonsense: whatever reads the file says that it is damaged, or
// does not need that page.
TEST(NothingLost, DamagedPagesAreNamed) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"timing.repetitions=1"}), SweepOutcome::kDone);
  constexpr size_t kPage = 4096;
  const size_t pages = std::filesystem::file_size(folder.path("a.db")) / kPage;
  ASSERT_GT(pages, 10u);
  int damaged = 0;
  for (size_t page = 0; page < pages; ++page) {
    std::filesystem::copy_file(folder.path("a.db"), folder.path("b.db"),
                               std::filesystem::copy_options::overwrite_existing);
    {
      std::fstream file(folder.path("b.db"), std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(page * kPage));
      file << std::string(kPage, '\xee');
    }
    const auto read = [&] {
      ResultStore store(folder.path("b.db"), OpenMode::kReadOnly);
      html_report(store, load_result_table(store), {.samples = 1});
    };
    const auto run = [&] { folder.run("b.db", {"timing.repetitions=1"}); };
    for (const std::string& message : {message_of(read), message_of(run)}) {
      if (message.empty()) continue;
      ++damaged;
      const bool is_clear = message.find("damaged") != std::string::npos ||
                            message.find("malformed") != std::string::npos ||
                            message.find("not a database") != std::string::npos;
      EXPECT_TRUE(is_clear && message.find("b.db") != std::string::npos)
          << "page " << page << ": " << message;
    }
  }
  EXPECT_GE(damaged, 10);
}

// Stored JSON that is none, or of another shape, is named with the file, not taken for zero.
TEST(NothingLost, DamagedJsonIsNamed) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"timing.repetitions=1"}), SweepOutcome::kDone);
  const auto table = [&] {
    ResultStore store(folder.path("b.db"), OpenMode::kReadOnly);
    ResultTable rows = load_result_table(store);
    compare_strategies(store, rows, {.baseline = "unified"});
  };
  const auto outputs = [&] {
    ResultStore store(folder.path("b.db"), OpenMode::kReadOnly);
    export_outputs(store, /*timing=*/true, [](const std::string&) {});
  };
  const auto depths = [&] {
    ResultStore store(folder.path("b.db"), OpenMode::kReadOnly);
    export_exit_depths(store, 0);
  };
  const struct {
    std::string change;  // of the results file
    std::function<void()> read;
  } kCases[] = {
      {"runs SET config = '{'", table},
      {"runs SET config = ''", table},
      {"runs SET config = '[1]'", table},
      {"runs SET config = '{\"name\": 3}'", table},
      {"runs SET config = '{\"model\": []}'", table},
      {"runs SET config = '{\"datasets\": {\"metrics\": 1}}'", table},
      {"runs SET config = '{\"datasets\": [{\"name\": \"de-en\", \"metrics\": [3]}]}'", table},
      {"runs SET config = '{\"strategies\": [{\"targets\": \"2\"}]}'", table},
      {"runs SET config = '{\"strategies\": 7}'", table},
      {"runs SET config = '{\"decoding\": {\"temperature\": []}}'", table},
      {"samples SET step_us = '[null]'", table},
      {"samples SET step_us = '{}'", table},
      {"outputs SET tokens = '[\"a\"]'", outputs},
      {"outputs SET tokens = '[1, 2'", outputs},
      {"outputs SET reference = '{}'", outputs},
      {"outputs SET layers = '[[]]'", outputs},
      {"cells SET resolved = '[]'", depths},
      {"cells SET resolved = '{\"strategy\": 1, \"params\": {}}'", depths},
  };
  for (const auto& one : kCases) {
    std::filesystem::copy_file(folder.path("a.db"), folder.path("b.db"),
                               std::filesystem::copy_options::overwrite_existing);
    Database(folder.path("b.db"), OpenMode::kReadWrite).execute("UPDATE " + one.change);
    const std::string message = message_of(one.read);
    EXPECT_NE(message.find("damaged"), std::string::npos) << one.change << ": " << message;
    EXPECT_NE(message.find("b.db"), std::string::npos) << one.change << ": " << message;
  }
}

}  // namespace
}  // namespace skipbench
