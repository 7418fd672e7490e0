// Sweeps from end to end: complete, killed, interrupted, extended, with failing cells.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <new>
#include <random>
#include <sstream>

#include "engine/base/error.h"
#include "eval/report/render.h"
#include "eval/sweep/session.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

TEST(Sweep, MakesTheTable) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db"), SweepOutcome::kDone);
  const Json rows = folder.rows("a.db");
  // full once, two strategies at two targets; two batch sizes each.
  ASSERT_EQ(rows.size(), 10u);
  for (const Json& row : rows) {
    EXPECT_EQ(row.at("status"), "done") << row;
    EXPECT_EQ(row.at("scores").size(), 5u) << row;  // BLEU and four ROUGE
    EXPECT_EQ(row.at("output_difference"), 0.0) << row;
    EXPECT_GT(row.at("decode_tokens_per_second").get<double>(), 0) << row;
    EXPECT_GE(row.at("bound").get<double>(), 0) << row;
  }
  EXPECT_EQ(rows[0].at("strategy"), "full");
  EXPECT_EQ(rows[0].at("layers"), 6.0);
  EXPECT_EQ(rows[0].at("speedup"), 1.0);
  EXPECT_EQ(rows[0].at("bound"), 1.0);
  EXPECT_EQ(rows[2].at("strategy"), "unified");
  EXPECT_EQ(rows[2].at("layers"), 4.0);  // N = 6, s = 1.5
  EXPECT_EQ(rows[4].at("layers"), 2.0);  // s = 3
  EXPECT_EQ(rows[4].at("longest_skipped_run"), 4);
  EXPECT_TRUE(rows[6].at("longest_skipped_run").is_null());
  EXPECT_EQ(rows[6].at("calibration").at("budget"), 4.0);
}

TEST(Sweep, RunAgainSaysAllIsDone) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db"), SweepOutcome::kDone);
  const Json before = folder.rows("a.db");
  std::ostringstream log;
  ASSERT_EQ(folder.run("a.db", {}, {.log = &log}), SweepOutcome::kDone);
  EXPECT_NE(log.str().find("all 15 cells are done"), std::string::npos) << log.str();
  EXPECT_EQ(folder.rows("a.db"), before);
}

TEST(Sweep, FreshStartsOver) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db"), SweepOutcome::kDone);
  ASSERT_EQ(folder.run("a.db", {}, {.fresh = true}), SweepOutcome::kDone);
  EXPECT_EQ(count_in(folder.path("a.db"), "SELECT count(*) FROM runs"), 1);
}

// The sweep is killed at random moments until it gets through; nothing may be lost, counted twice
// or different.
TEST(Sweep, SurvivesKill) {
  const SweepFolder folder;
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(folder.run("whole.db"), SweepOutcome::kDone);
  const double whole_us =
      std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  std::mt19937 random(17);
  const auto sweep = [&] { return static_cast<int>(folder.run("killed.db")); };
  int kills = 0;
  for (int attempt = 0;; ++attempt) {
    ASSERT_LT(attempt, 40) << "the sweep makes no progress";
    // Later attempts get longer, so that a slow machine comes to an end as well.
    const double share = std::uniform_real_distribution<>(0.02, 0.4 + 0.1 * attempt)(random);
    const int status = run_in_child(sweep, static_cast<int64_t>(share * whole_us), SIGKILL);
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
      break;
    }
    ASSERT_EQ(WTERMSIG(status), SIGKILL);
    ++kills;
  }
  EXPECT_GE(kills, 2) << "the test killed nothing";
  EXPECT_EQ(folder.untimed_rows("killed.db"), folder.untimed_rows("whole.db"));
  for (const char* sql : {"SELECT count(*) FROM outputs", "SELECT count(*) FROM scores",
                          "SELECT count(*) FROM samples", "SELECT count(*) FROM calibrations",
                          "SELECT count(*) FROM cells WHERE status = 'done'"}) {
    EXPECT_EQ(count_in(folder.path("killed.db"), sql), count_in(folder.path("whole.db"), sql))
        << sql;
  }
}

// On the CPU a quality cell is the same cell at every batch size.
TEST(Sweep, AKilledRunGoesOnWithAnotherBatchSize) {
  const SweepFolder folder;
  const std::vector<std::string> only = {"timing.repetitions=0", "strategies=[full]",
                                         "datasets.de-en.limit=12"};
  const auto with_batch = [&](const char* batch) {
    std::vector<std::string> all = only;
    all.push_back(std::string("batch_sizes=") + batch);
    return all;
  };
  for (const auto& [first, second] : {std::pair("1", "4"), std::pair("3", "8")}) {
    const std::string store = std::string("killed") + first + ".db";
    ASSERT_EQ(folder.run(store, with_batch(first)), SweepOutcome::kDone);
    {  // as a kill after the second batch leaves it
      Database database(folder.path(store), OpenMode::kReadWrite);
      for (const char* sql :
           {"DELETE FROM outputs WHERE batch_index >= 2", "DELETE FROM scores",
            "DELETE FROM samples WHERE batch_index >= 2", "UPDATE cells SET status = 'pending'"}) {
        Statement(database, sql).step();
      }
    }
    ASSERT_EQ(folder.run(store, with_batch(second)), SweepOutcome::kDone);
    EXPECT_EQ(count_in(folder.path(store), "SELECT count(*) FROM outputs"), 12);
    ASSERT_EQ(folder.run("whole.db", with_batch(second), {.fresh = true}), SweepOutcome::kDone);
    EXPECT_EQ(folder.untimed_rows(store), folder.untimed_rows("whole.db"));
  }
}

TEST(Sweep, InterruptLeavesAResumableStore) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("whole.db"), SweepOutcome::kDone);
  for (const int signal : {SIGINT, SIGTERM}) {
    for (const int batches : {signal == SIGINT ? 1 : 4, signal == SIGINT ? 31 : 20}) {
      const std::string results = fmt::format("stopped{}-{}.db", signal, batches);
      int left = batches;
      const SweepOptions options{.after_batch = [&] {
        if (--left == 0) raise(signal);
      }};
      ASSERT_EQ(folder.run(results, {}, options), SweepOutcome::kInterrupted);
      EXPECT_EQ(count_in(folder.path(results),
                         "SELECT count(*) FROM runs WHERE state = "
                         "'interrupted'"),
                1);
      // The batch at hand was finished and kept, and its table can be printed.
      EXPECT_GE(count_in(folder.path(results), "SELECT count(*) FROM outputs"), 1);
      EXPECT_EQ(folder.rows(results).size(), 10u);
      ASSERT_EQ(folder.run(results), SweepOutcome::kDone);
      EXPECT_EQ(folder.untimed_rows(results), folder.untimed_rows("whole.db"));
    }
  }
}

TEST(Sweep, ANewTargetMeasuresFullAgain) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"targets=[1.5]"}), SweepOutcome::kDone);
  const auto groups = [&] {
    return count_in(folder.path("a.db"), "SELECT count(*) FROM timing_groups");
  };
  EXPECT_EQ(groups(), 2);
  ASSERT_EQ(folder.run("a.db", {"targets=[1.5, 3]"}), SweepOutcome::kDone);
  EXPECT_EQ(groups(), 4);
  // Every timed cell has `full` in its own group.
  EXPECT_EQ(
      count_in(folder.path("a.db"),
               "SELECT count(*) FROM cells c WHERE c.kind = 'timing' AND NOT EXISTS (SELECT 1 "
               "FROM samples s JOIN cells f ON f.id = s.cell_id WHERE s.group_id = c.group_id "
               "AND f.resolved ->> '$.strategy' = 'full')"),
      0);
  for (const Json& row : folder.rows("a.db")) EXPECT_TRUE(row.at("speedup").is_number()) << row;
}

TEST(Sweep, ANewMetricIsScoredFromStoredTexts) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"datasets.de-en.metrics=[bleu]"}), SweepOutcome::kDone);
  const int64_t outputs = count_in(folder.path("a.db"), "SELECT count(*) FROM outputs");
  int batches = 0;
  const SweepOptions options{.after_batch = [&] { ++batches; }};
  ASSERT_EQ(
      folder.run("a.db", {"datasets.de-en.metrics=[bleu, {bleu: {tokenize: char}}]"}, options),
      SweepOutcome::kDone);
  EXPECT_EQ(batches, 0);
  EXPECT_EQ(count_in(folder.path("a.db"), "SELECT count(*) FROM outputs"), outputs);
  EXPECT_EQ(folder.rows("a.db")[0].at("scores").size(), 2u);
}

TEST(Sweep, ATableShowsTheScoresThatItsRunAskedFor) {
  const SweepFolder folder;
  const std::vector<std::string> quick = {"timing.repetitions=0", "strategies=[full]"};
  const auto with = [&](const std::string& more) {
    std::vector<std::string> all = quick;
    all.push_back(more);
    return all;
  };
  const auto signatures = [&](const Json& row) {
    std::vector<std::string> found;
    for (const Json& score : row.at("scores")) found.push_back(score.at("signature"));
    return found;
  };
  folder.run("a.db", with("datasets.de-en.metrics=[{bleu: {tokenize: 13a}}]"));
  const auto first = signatures(folder.rows("a.db")[0]);
  // Other options: the old score is no column of the new table.
  folder.run("a.db", with("datasets.de-en.metrics=[{bleu: {tokenize: char}}]"));
  const auto second = signatures(folder.rows("a.db")[0]);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_NE(second[0].find("tok:char"), std::string::npos);
  // Back again: kept, not computed anew, and in the order asked for.
  folder.run("a.db", with("datasets.de-en.metrics=[{bleu: {tokenize: char}}, bleu]"));
  EXPECT_EQ(signatures(folder.rows("a.db")[0]), (std::vector<std::string>{second[0], first[0]}));
  EXPECT_EQ(count_in(folder.path("a.db"), "SELECT count(*) FROM scores"), 2);
}

TEST(Sweep, DataSetsWithEqualPromptsKeepTheirOwnScores) {
  const SweepFolder folder;
  std::string text = folder.config_text();
  const size_t begin = text.find("  - name: de-en"), end = text.find("decoding:");
  std::string other = text.substr(begin, end - begin);
  other.replace(other.find("de-en"), 5, "again");
  other.replace(other.find("[{bleu: {tokenize: 13a}}, rouge]"), 32, "[{bleu: {tokenize: char}}]");
  folder.write_config(text.insert(end, other));
  ASSERT_EQ(folder.run("a.db", {"timing.repetitions=0", "strategies=[full]"}), SweepOutcome::kDone);
  const Json rows = folder.rows("a.db");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].at("scores").size(), 5u);
  ASSERT_EQ(rows[1].at("scores").size(), 1u);
  EXPECT_NE(rows[1].at("scores")[0].at("signature").get<std::string>().find("tok:char"),
            std::string::npos);
  // The outputs are decoded once.
  EXPECT_EQ(count_in(folder.path("a.db"), "SELECT count(*) FROM cells"), 1);
}

TEST(Sweep, OutOfRangeTargetIsOneInvalidCell) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"targets=[2, 4]"}), SweepOutcome::kDone);
  int invalid = 0;
  for (const Json& row : folder.rows("a.db")) {
    const auto status = row.at("status").get<std::string>();
    if (row.at("target") != 4.0) continue;
    ++invalid;
    EXPECT_TRUE(status.starts_with("invalid: target 4 is outside [1, 3]")) << status;
    EXPECT_TRUE(row.at("batch").is_null());
  }
  EXPECT_EQ(invalid, 2);  // unified and early_exit
}

// As in Qwen2: more embeddings than tokens. Ids without a token have no text.
TEST(Sweep, PaddedVocabulary) {
  const SweepFolder folder;
  folder.resize_vocabulary(2000);
  std::string text = folder.config_text();
  text.insert(text.find("    limit: 7"), "    stop: [\"\\n\"]\n");
  folder.write_config(text);
  ASSERT_EQ(folder.run("a.db"), SweepOutcome::kDone);
  for (const Json& row : folder.rows("a.db")) EXPECT_EQ(row.at("status"), "done") << row;
  // The test is about something: such ids were generated.
  EXPECT_GT(count_in(folder.path("a.db"),
                     "SELECT count(*) FROM outputs, json_each(outputs.tokens) WHERE value >= 257"),
            0);
}

TEST(Sweep, BeamSearchWhereLayersDoNotDependOnTheText) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"decoding.beams=4", "decoding.no_repeat_ngram=2"}),
            SweepOutcome::kDone);
  for (const Json& row : folder.rows("a.db")) {
    const bool exits = row.at("strategy") == "early_exit";
    EXPECT_TRUE(row.at("status").get<std::string>().starts_with(exits ? "unsupported" : "done"))
        << row;
    if (exits) continue;
    EXPECT_GT(row.at("decode_tokens_per_second").get<double>(), 0) << row;
    EXPECT_EQ(row.at("output_difference"), 0.0) << row;  // a text's beams are its own
  }
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  EXPECT_NE(render_table(load_result_table(store), "md").find("beam search: 4 beams, length"),
            std::string::npos);
  ASSERT_EQ(folder.run("exits.db", {"decoding.beams=4", "strategies=[early_exit]"}),
            SweepOutcome::kSomeFailed);  // nothing of it could run
  // The texts are the engine's, and other beams make other cells.
  const SweepSetup setup = folder.setup({"decoding.beams=4", "decoding.no_repeat_ngram=2"});
  const SweepSetup other = folder.setup({"decoding.beams=4"}), greedy = folder.setup();
  EXPECT_NE(setup.cells[0].identity, other.cells[0].identity);
  EXPECT_NE(greedy.cells[0].identity, other.cells[0].identity);
  Model model(setup.loaded, *setup.backend);
  const auto full = make_strategy({.name = "full"}, setup.context.num_layers);
  const GenerateOptions options = natural_length(setup, setup.config.datasets[0]);
  EXPECT_EQ(options.beams, (BeamOptions{.beams = 4, .no_repeat_ngram = 2}));
  const auto outputs = Decoder(model).generate(setup.inputs[0].prompts, *full, options).outputs;
  const auto stored = store.outputs(store.find_cell(setup.cells[0].identity).value().id);
  ASSERT_EQ(stored.size(), outputs.size());
  for (size_t i = 0; i < stored.size(); ++i) EXPECT_EQ(stored[i].tokens, outputs[i].tokens) << i;
}

// Draws belong to a text and the seed: not to the batch that it stands in, nor to a run.
TEST(Sweep, DrawnTextsDependOnTheSeedAlone) {
  const SweepFolder folder;
  const auto run = [&](const std::string& db, const std::string& seed, const std::string& batch) {
    EXPECT_EQ(folder.run(db, {"decoding.temperature=2", "decoding.top_k=40", "seed=" + seed,
                              "batch_sizes=" + batch, "timing.repetitions=0"}),
              SweepOutcome::kDone);
    return text_in(folder.path(db),
                   "SELECT group_concat(tokens, '|') FROM (SELECT tokens FROM outputs "
                   "ORDER BY cell_id, idx)");
  };
  const std::string one = run("a.db", "1", "3");
  EXPECT_EQ(run("b.db", "1", "1"), one);
  EXPECT_NE(run("c.db", "2", "3"), one);
  // Timed texts likewise: of prompt i the draws are the same in every batch.
  EXPECT_EQ(folder.run("d.db", {"decoding.temperature=2", "batch_sizes=[1,2]", "timing.prompts=4"}),
            SweepOutcome::kDone);
  for (const Json& row : folder.rows("d.db")) {
    if (row.contains("output_difference") && !row.at("output_difference").is_null()) {
      EXPECT_EQ(row.at("output_difference"), 0) << row;
    }
  }
  // Another seed is another cell of the same file.
  const std::string both = run("a.db", "2", "3");
  EXPECT_GT(both.size(), one.size());
  EXPECT_NE(message_of([&] {
              folder.setup({"decoding.temperature=0.001"});
            }).find("decoding.temperature"),
            std::string::npos);
}

TEST(Sweep, AFailingCellIsRecordedAndTheSweepGoesOn) {
  const SweepFolder folder;
  int batches = 0;
  const SweepOptions options{.after_batch = [&] {
    if (++batches == 2) throw std::runtime_error("the house of cards fell");
  }};
  ASSERT_EQ(folder.run("a.db", {}, options), SweepOutcome::kSomeFailed);
  const Json rows = folder.rows("a.db");
  EXPECT_EQ(rows[0].at("status"), "failed: the house of cards fell");
  EXPECT_EQ(rows[2].at("status"), "done");
  // Run again, the failed cell is tried again.
  ASSERT_EQ(folder.run("a.db"), SweepOutcome::kDone);
  EXPECT_EQ(folder.rows("a.db")[0].at("status"), "done");
}

TEST(Sweep, OutOfMemoryIsAStatusOfItsOwn) {
  const SweepFolder folder;
  int batches = 0;
  const SweepOptions options{.after_batch = [&] {
    if (++batches == 1) throw std::bad_alloc();
    if (batches == 2) throw OutOfMemory({.what = "no memory", .where = "cpu"}, 10, 3);
  }};
  ASSERT_EQ(folder.run("a.db", {"timing.repetitions=0"}, options), SweepOutcome::kSomeFailed);
  const Json rows = folder.rows("a.db");
  EXPECT_EQ(rows[0].at("status"), "oom: out of memory");
  EXPECT_EQ(rows[1].at("status"), "oom: cpu: no memory");
  EXPECT_EQ(rows[2].at("status"), "done");
}

TEST(Sweep, QualityDoesNotDependOnTheBatch) {
  const SweepFolder folder;
  ASSERT_EQ(folder.run("a.db", {"batch_sizes=[1]", "timing.repetitions=0"}), SweepOutcome::kDone);
  ASSERT_EQ(folder.run("b.db", {"batch_sizes=[4]", "timing.repetitions=0"}), SweepOutcome::kDone);
  Json a = folder.untimed_rows("a.db"), b = folder.untimed_rows("b.db");
  for (Json* rows : {&a, &b}) {
    for (Json& row : *rows) row.erase("layers_in_batch_range");  // says how rows of a batch differ
  }
  EXPECT_EQ(a, b);
}

TEST(Sweep, IdentitiesFollowDataAndBuild) {
  const SweepFolder folder;
  SweepSetup setup = folder.setup();
  const auto before = setup.cells;
  setup.context.provenance.dirty_hash += "x";
  const auto rebuilt = make_cells(setup.config, setup.inputs, setup.context);
  setup.context.quality_build = build_of(setup.context.provenance);
  const auto rebuilt_for_both = make_cells(setup.config, setup.inputs, setup.context);
  folder.write("test.en", "other\n" + std::string(11, '\n'));
  const auto other_data = folder.setup().cells;
  for (size_t i = 0; i < before.size(); ++i) {
    const bool is_timing = before[i].key.kind == "timing";
    EXPECT_EQ(before[i].identity != rebuilt[i].identity, is_timing) << i;
    EXPECT_NE(before[i].identity, rebuilt_for_both[i].identity) << i;
    // References are the quality's data; speed needs only the prompts.
    EXPECT_EQ(before[i].identity == other_data[i].identity, is_timing) << i;
  }
}

TEST(Sweep, CalibrationNeverSeesEvaluatedPrompts) {
  const SweepFolder folder;
  std::string same;
  for (int i = 0; i < 3; ++i)
    same += fmt::format("Satz {} mit {} Wörtern\n", i, std::string(i + 1, 'x'));
  folder.write("dev.de", same + "Neu\n");
  const SweepSetup own =
      folder.setup({"datasets.de-en.calibration.source=" + folder.path("dev.de")});
  EXPECT_EQ(own.inputs[0].calibration_prompts.size(), 1u);
  EXPECT_EQ(folder.setup().inputs[0].calibration_prompts.size(), 5u);  // 12 lines, 7 evaluated
  EXPECT_THROW(folder.setup({"datasets.de-en.limit=12"}), Error);      // none left
}

}  // namespace
}  // namespace skipbench
