// Metrics of other programs on the outputs of a results file.
#include "eval/rescore.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "engine/base/error.h"
#include "eval/report/comparison.h"
#include "eval/report/file_comparison.h"
#include "eval/report/render.h"
#include "eval/report/stored_statistics.h"
#include "eval/store/external_scores.h"
#include "eval/store/merge.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

// Scores a segment by the lengths of its three texts, a made-up error rate, and notes each start.
constexpr char kProgram[] = R"(import json, sys
rows = [json.loads(line) for line in sys.stdin]
scores = [(len(r["hypothesis"]) + 10 * len(r.get("source", "")) + 100 * len(r["reference"])) / 1e4
          for r in rows]
with open(sys.argv[1], "a") as log:
    log.write("%d\n" % len(rows))
json.dump({"name": sys.argv[2], "scores": scores, "signature": "v1", "higher_is_better": False},
          sys.stdout)
)";

class Rescore : public testing::Test {
 protected:
  Rescore() {
    folder_.write("program.py", kProgram);
    untimed_ = {"timing.repetitions=0", "batch_sizes=[3]"};
  }

  RescoreRequest request(const std::string& name = "LEN") const {
    return {
        .program = {fmt::format("python3 {0}/program.py {0}/log {1}", folder_.path(""), name), 60}};
  }

  RescoreSummary rescored(const std::string& file, const RescoreRequest& request) const {
    ResultStore store(folder_.path(file), OpenMode::kReadWrite);
    return rescore(store, request);
  }

  std::string starts() const {
    std::ifstream log(folder_.path("log"));
    return {std::istreambuf_iterator<char>(log), {}};
  }

  static double expected(const OutputRecord& output, const std::string& source) {
    return (static_cast<double>(code_points(output.text)) +
            10 * static_cast<double>(code_points(source)) +
            100 * static_cast<double>(code_points(output.references[0]))) /
           1e4;
  }

  static size_t code_points(const std::string& text) {
    return static_cast<size_t>(std::ranges::count_if(
        text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
  }

  std::vector<std::string> lines(const std::string& name) const {
    std::ifstream file(folder_.path(name));
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }

  SweepFolder folder_;
  std::vector<std::string> untimed_;
};

const TableScore* length_of(const TableRow& row) {
  const auto found = std::ranges::find(row.scores, "LEN", &TableScore::name);
  return found == row.scores.end() ? nullptr : &*found;
}

TEST(StoredStatistics, ErrorRatesAreKnown) {
  const SweepFolder folder;
  ResultStore store(folder.path("a.db"), OpenMode::kReadWrite);
  for (const char* rate : {"TER", "PERPLEXITY", "KL", "DIFFERENCE", "REPETITION"}) {
    EXPECT_FALSE(is_higher_better(store, std::string(rate) + "|x")) << rate;
  }
  for (const char* score : {"BLEU|x", "CHRF++|x", "TOP1|x", "of a later version|x"}) {
    EXPECT_TRUE(is_higher_better(store, score)) << score;
  }
}

TEST_F(Rescore, ScoresEveryOutputInOneStartAndKeepsWhatItHas) {
  ASSERT_EQ(folder_.run("a.db", untimed_), SweepOutcome::kDone);
  const RescoreSummary first = rescored("a.db", request());
  EXPECT_EQ(first.name, "LEN");
  EXPECT_EQ(first.scored, 5) << "full, and two strategies at two targets";
  EXPECT_EQ(first.kept, 0);
  EXPECT_EQ(first.outputs, 35);
  EXPECT_EQ(starts(), "35\n");
  const std::vector<std::string> sources = lines("test.de");
  {
    ResultStore store(folder_.path("a.db"), OpenMode::kReadOnly);
    const ResultTable table = load_result_table(store);
    ASSERT_EQ(table.rows.size(), 5u);
    for (const TableRow& row : table.rows) {
      const TableScore* score = length_of(row);
      ASSERT_NE(score, nullptr) << row.strategy;
      EXPECT_EQ(score->signature.find("LEN|nrefs:1|external:LEN|by:v1"), 0u);
      EXPECT_FALSE(score->higher_is_better);
      const auto scores = external_scores(store, row.quality_cell, score->signature);
      const auto outputs = store.outputs(row.quality_cell);
      ASSERT_EQ(scores.size(), outputs.size());
      for (size_t i = 0; i < scores.size(); ++i) {
        EXPECT_DOUBLE_EQ(scores[i], expected(outputs[i], sources[i]));
      }
      EXPECT_DOUBLE_EQ(score->value, std::accumulate(scores.begin(), scores.end(), 0.0) / 7);
    }
    // Four digits, since it is between 0 and 1.
    EXPECT_NE(
        render_table(table, "md").find(fmt::format("{:.4f}", length_of(table.rows[1])->value)),
        std::string::npos);
  }
  const RescoreSummary second = rescored("a.db", request());
  EXPECT_EQ(second.name, "LEN");
  EXPECT_EQ(second.scored, 0);
  EXPECT_EQ(second.kept, 5);
  EXPECT_EQ(starts(), "35\n") << "nothing to ask";

  // A run that adds a strategy has its cells alone scored, and shows all.
  std::vector<std::string> more = untimed_;
  more.push_back("strategies=[full, unified, fixed_exit]");
  ASSERT_EQ(folder_.run("a.db", more), SweepOutcome::kDone);
  const RescoreSummary third = rescored("a.db", request());
  EXPECT_EQ(third.scored, 2);
  EXPECT_EQ(third.kept, 3);
  EXPECT_EQ(starts(), "35\n14\n");
  ResultStore store(folder_.path("a.db"), OpenMode::kReadOnly);
  for (const TableRow& row : load_result_table(store).rows) EXPECT_NE(length_of(row), nullptr);
}

TEST_F(Rescore, TestsAndIntervalsAreThoseOfTheScores) {
  ASSERT_EQ(folder_.run("a.db", untimed_), SweepOutcome::kDone);
  rescored("a.db", request());
  ResultStore store(folder_.path("a.db"), OpenMode::kReadOnly);
  ResultTable table = load_result_table(store);
  ComparisonOptions options;
  options.baseline = "full";
  options.test = PairedTest::kRandomisation;
  options.settings.trials = 500;
  options.settings.resamples = 200;
  compare_strategies(store, table, options);
  const auto statistics = [&](const TableRow& row) {
    return external_statistics(external_scores(store, row.quality_cell, length_of(row)->signature),
                               1);
  };
  const auto metric = make_external_metric("LEN", "v1", false);
  const SegmentStats baseline = statistics(table.rows[0]);
  for (size_t i = 1; i < table.rows.size(); ++i) {
    const TableRow& row = table.rows[i];
    const SegmentStats systems[] = {statistics(row)};
    const auto want =
        compare_to_baseline(*metric, baseline, systems, options.test, options.settings);
    EXPECT_EQ(length_of(row)->p_value, want[1][0].p_value) << row.strategy;
    ASSERT_TRUE(length_of(row)->p_value.has_value());
    const auto interval = bootstrap_intervals(*metric, systems[0], options.settings);
    EXPECT_EQ(length_of(row)->low, interval[0].low);
    EXPECT_EQ(length_of(row)->high, interval[0].high);
  }
  const FileComparison files = compare_files(folder_.path("a.db"), folder_.path("a.db"),
                                             PairedTest::kRandomisation, options.settings);
  for (const PointPair& pair : files.points) {
    const auto found = std::ranges::find(pair.scores, "LEN", &ScorePair::name);
    ASSERT_NE(found, pair.scores.end());
    EXPECT_EQ(found->p_value, 1.0) << "the same outputs";
  }
}

TEST_F(Rescore, NothingIsWrittenWhereSomethingIsWrong) {
  ASSERT_EQ(folder_.run("a.db", untimed_), SweepOutcome::kDone);
  const std::string file = folder_.path("a.db");
  const auto refused = [&](const RescoreRequest& asked) {
    return message_of([&] { rescored("a.db", asked); });
  };
  RescoreRequest failing = request();
  failing.program.command = "cat >/dev/null; echo out of memory >&2; exit 3";
  EXPECT_NE(refused(failing).find("out of memory"), std::string::npos) << refused(failing);
  EXPECT_NE(refused(request("'a|b'")).find("cannot stand in a table"), std::string::npos);
  RescoreRequest of_no_run = request();
  of_no_run.run = 9;
  EXPECT_NE(refused(of_no_run).find("9"), std::string::npos);
  EXPECT_EQ(count_in(file, "SELECT count(*) FROM external_metrics"), 0);
  EXPECT_EQ(count_in(file, "SELECT count(*) FROM external_scores"), 0);

  // Other data than those that were scored.
  folder_.write("test.en", "sentence 0 of 1 words, the end .\nanother\n");
  folder_.write("test.de", "Satz 0\nSatz 1\n");
  EXPECT_NE(refused(request()).find("example 2 has other references"), std::string::npos)
      << refused(request());
  std::filesystem::remove(folder_.path("test.de"));
  EXPECT_NE(refused(request()).find("--no-sources"), std::string::npos) << refused(request());
  RescoreRequest without = request();
  without.with_sources = false;
  EXPECT_EQ(rescored("a.db", without).scored, 5);
  ResultStore store(file, OpenMode::kReadOnly);
  const TableRow row = load_result_table(store).rows[0];
  const auto outputs = store.outputs(row.quality_cell);
  EXPECT_DOUBLE_EQ(external_scores(store, row.quality_cell, length_of(row)->signature)[0],
                   expected(outputs[0], ""));
}

// One column is of one metric: a program that has changed its name scores everything again.
TEST_F(Rescore, AnotherMetricOfTheSameCommandIsRefusedUntilAllIsScoredAgain) {
  ASSERT_EQ(folder_.run("a.db", untimed_), SweepOutcome::kDone);
  RescoreRequest asked = request();
  asked.program.command =
      fmt::format("python3 {0}/program.py {0}/log $(cat {0}/name)", folder_.path(""));
  folder_.write("name", "LEN");
  rescored("a.db", asked);
  folder_.write("name", "WIDTH");
  std::vector<std::string> more = untimed_;
  more.push_back("strategies=[full, fixed_exit]");
  ASSERT_EQ(folder_.run("a.db", more), SweepOutcome::kDone);
  const std::string message = message_of([&] { rescored("a.db", asked); });
  EXPECT_NE(message.find("expected LEN, v1 (lower is better), got WIDTH, v1 (lower is better)"),
            std::string::npos)
      << message;
  EXPECT_EQ(count_in(folder_.path("a.db"), "SELECT count(*) FROM external_metrics"), 1);
  asked.again = true;
  EXPECT_EQ(rescored("a.db", asked).scored, 3);
  // From now on the command computes this one, for cells that are added too.
  asked.again = false;
  more.back() = "strategies=[full, fixed_exit, random]";
  ASSERT_EQ(folder_.run("a.db", more), SweepOutcome::kDone);
  const RescoreSummary added = rescored("a.db", asked);
  EXPECT_EQ(added.name, "WIDTH");
  EXPECT_EQ(added.scored, 2);
  EXPECT_EQ(added.kept, 3);
  // And back: one of them is shown at a time.
  folder_.write("name", "LEN");
  asked.again = true;
  rescored("a.db", asked);
  asked.again = false;
  EXPECT_EQ(rescored("a.db", asked).name, "LEN");
  folder_.write("name", "WIDTH");
  asked.again = true;
  rescored("a.db", asked);
  ResultStore store(folder_.path("a.db"), OpenMode::kReadOnly);
  for (const TableRow& row : load_result_table(store).rows) {
    EXPECT_NE(std::ranges::find(row.scores, "WIDTH", &TableScore::name), row.scores.end());
    EXPECT_EQ(length_of(row), nullptr) << "asked of the earlier run";
  }
}

// A command's sourceless scores are another metric, and another command's of one name are refused.
TEST_F(Rescore, OneSignatureIsOfOneProgramAndOneInput) {
  ASSERT_EQ(folder_.run("a.db", untimed_), SweepOutcome::kDone);
  RescoreRequest without = request();
  without.with_sources = false;
  EXPECT_EQ(rescored("a.db", without).scored, 5);
  EXPECT_EQ(rescored("a.db", request()).scored, 5);
  EXPECT_EQ(rescored("a.db", without).kept, 5);
  EXPECT_EQ(text_in(folder_.path("a.db"),
                    "SELECT group_concat(signature, ' ') FROM external_metrics ORDER BY signature"),
            "LEN|nrefs:1|external:LEN|by:v1 LEN|nrefs:1|external:LEN|by:v1|sources:no");
  RescoreRequest other = request();
  other.program.command += " # another";
  const std::string message = message_of([&] { rescored("a.db", other); });
  EXPECT_NE(message.find("another command has scored outputs under the same name"),
            std::string::npos)
      << message;
  other.again = true;
  EXPECT_EQ(rescored("a.db", other).scored, 5);
  EXPECT_EQ(rescored("a.db", other).scored, 5);
  other.again = false;
  EXPECT_EQ(rescored("a.db", other).kept, 5);
  const std::string refused = message_of([&] { rescored("a.db", request()); });
  EXPECT_NE(refused.find("# another"), std::string::npos) << refused;
}

TEST_F(Rescore, DamagedOutputsAndScoresAreNamed) {
  ASSERT_EQ(folder_.run("a.db", untimed_), SweepOutcome::kDone);
  rescored("a.db", request());
  const std::string path = folder_.path("a.db");
  const auto change = [&](const std::string& sql) {
    Database(path, OpenMode::kReadWrite).execute(sql);
  };
  change("DELETE FROM external_scores WHERE idx = 6 AND cell_id = 1");
  const auto refused = [&] { return message_of([&] { rescored("a.db", request()); }); };
  EXPECT_NE(refused().find("expected 7 scores of cell 1, got 6"), std::string::npos) << refused();
  change("DELETE FROM external_scores WHERE cell_id = 1");
  change("DELETE FROM outputs WHERE cell_id = 1 AND idx = 3");
  EXPECT_NE(refused().find("3 of 6 in cell 1"), std::string::npos) << refused();
  change("DELETE FROM outputs WHERE cell_id = 1");
  EXPECT_NE(refused().find("0 of 0 in cell 1"), std::string::npos) << refused();
}

TEST_F(Rescore, NamesOfColumnsAreRefused) {
  ASSERT_EQ(folder_.run("a.db", untimed_), SweepOutcome::kDone);
  for (const char* name : {"layers", "speedup", "'BLEU p'", "'BLEU low'", "'x p Holm'"}) {
    const std::string message = message_of([&] { rescored("a.db", request(name)); });
    EXPECT_NE(message.find("the name of a column"), std::string::npos) << name << message;
  }
  EXPECT_EQ(rescored("a.db", request("BLEU")).name, "BLEU");
}

TEST_F(Rescore, MergeKeepsTheScoresAndFreshForgetsThem) {
  std::vector<std::string> files;
  for (const int part : {1, 2}) {
    const std::string name = fmt::format("{}.db", part);
    ASSERT_EQ(folder_.run(name, untimed_, {.shard = {part, 2}}), SweepOutcome::kDone);
    files.push_back(folder_.path(name));
  }
  // The column is in a merged table whichever of two copies has it.
  std::filesystem::copy_file(folder_.path("1.db"), folder_.path("plain.db"));
  const RescoreSummary summary = rescored("1.db", request());
  for (const std::vector<std::string>& order :
       {std::vector<std::string>{"plain.db", "1.db"}, {"1.db", "plain.db"}}) {
    const std::string joined = folder_.path("of copies, " + order[0]);
    const std::vector<std::string> copies = {folder_.path(order[0]), folder_.path(order[1])};
    merge_stores(copies, joined, "");
    ResultStore store(joined, OpenMode::kReadOnly);
    int64_t shown = 0;
    for (const TableRow& row : load_result_table(store).rows) shown += length_of(row) ? 1 : 0;
    EXPECT_EQ(shown, summary.scored) << order[0];
  }
  // Not of two minds about what is better.
  std::filesystem::copy_file(folder_.path("1.db"), folder_.path("turned.db"));
  Database(folder_.path("turned.db"), OpenMode::kReadWrite)
      .execute("UPDATE external_metrics SET higher_is_better = 1");
  const std::vector<std::string> turned = {folder_.path("1.db"), folder_.path("turned.db")};
  const std::string conflict =
      message_of([&] { merge_stores(turned, folder_.path("conflict.db"), ""); });
  EXPECT_NE(conflict.find("LEN: an error rate in one file"), std::string::npos) << conflict;
  merge_stores(files, folder_.path("all.db"), "");
  {
    ResultStore store(folder_.path("all.db"), OpenMode::kReadOnly);
    int64_t with = 0;
    for (const TableRow& row : load_result_table(store).rows) {
      with += length_of(row) != nullptr ? 1 : 0;
    }
    EXPECT_EQ(with, summary.scored);
    EXPECT_GT(with, 0);
    EXPECT_LT(with, 5);
  }
  EXPECT_EQ(rescored("all.db", request()).kept, summary.scored);
  EXPECT_EQ(count_in(folder_.path("all.db"), "SELECT count(*) FROM external_scores"), 35);
  ASSERT_EQ(folder_.run("all.db", untimed_, {.fresh = true}), SweepOutcome::kDone);
  EXPECT_EQ(count_in(folder_.path("all.db"), "SELECT count(*) FROM external_scores"), 0);
  EXPECT_EQ(count_in(folder_.path("all.db"), "SELECT count(*) FROM external_metrics"), 0);
}

}  // namespace
}  // namespace skipbench
