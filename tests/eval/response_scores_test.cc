// Metrics of responses, and the drift measured beside them, in sweeps that are killed, extended and
// joined.
#include "eval/store/response_scores.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "eval/report/comparison.h"
#include "eval/report/export.h"
#include "eval/report/result_plots.h"
#include "eval/store/merge.h"
#include "tests/eval/sweep_fixture.h"
#include "tests/model/fixtures.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

const std::string kMetrics =
    "datasets.de-en.metrics=[{bleu: {tokenize: 13a}}, {perplexity: {prefix: ' '}}, {kl: {prefix: "
    "' '}}, {top1: {prefix: ' '}}]";

const std::vector<std::string> kUntimed = {kMetrics, "timing.repetitions=0"};

// All of a file's drift, whatever numbers its cells have.
std::string drift_in(const std::string& results) {
  return text_in(results,
                 "SELECT json_group_array(json_array(identity, step, texts, layers, kl, agreeing,"
                 " layer, cosine, norm_ratio)) FROM (SELECT c.identity, s.*, l.layer, l.cosine,"
                 " l.norm_ratio FROM cells c"
                 " JOIN step_drift s ON s.cell_id = c.id JOIN layer_drift l ON l.cell_id = c.id"
                 " AND l.prefix = s.prefix AND l.step = s.step ORDER BY identity, s.step, layer)");
}

// Leaves of a file's drift what version 5 kept.
void forget_steps(const std::string& results) {
  Database(results, OpenMode::kReadWrite)
      .execute(
          "INSERT INTO layer_drift SELECT cell_id, prefix, -2, layer, sum(cosine),"
          " sum(norm_ratio) FROM layer_drift WHERE step >= 0 GROUP BY cell_id, prefix, layer;"
          "INSERT INTO step_drift SELECT cell_id, prefix, -2, sum(texts), NULL, NULL, NULL"
          " FROM step_drift WHERE step >= 0 GROUP BY cell_id, prefix;"
          "DELETE FROM layer_drift WHERE step != -2; DELETE FROM step_drift WHERE step != -2");
}

class ResponseSweep : public testing::Test {
 protected:
  ResultTable table(const std::string& name) {
    ResultStore store(folder_.path(name), OpenMode::kReadOnly);
    return load_result_table(store);
  }

  static double value(const TableRow& row, const std::string& name) {
    for (const TableScore& score : row.scores) {
      if (score.name == name) return score.value;
    }
    throw std::runtime_error("no score " + name);
  }

  SweepFolder folder_;
};

TEST_F(ResponseSweep, ScoresStandInTheTable) {
  ASSERT_EQ(folder_.run("a.db", kUntimed), SweepOutcome::kDone);
  const ResultTable made = table("a.db");
  const SweepSetup setup = folder_.setup(kUntimed);
  const SweepInputs& inputs = setup.inputs[0];
  Model model(setup.loaded, *setup.backend);
  Decoder decoder(model);
  std::vector<ScoreRequest> requests;
  for (size_t i = 0; i < inputs.prompts.size(); ++i) {
    requests.push_back({inputs.prompts[i], inputs.responses.at(" ")[i]});
  }
  const TextSegment first{.text = " " + inputs.references[0][0]};
  EXPECT_EQ(requests[0].continuation, setup.tokenizer->encode(std::span(&first, 1), false));
  for (const TableRow& row : made.rows) {
    if (row.strategy == "early_exit") continue;  // its threshold is in the store
    const auto strategy = make_strategy({row.strategy, row.target}, 6);
    double nll = 0, tokens = 0;
    for (const ScoreOutput& output : decoder.score(requests, *strategy)) {
      for (const double log_prob : output.log_probs) nll -= log_prob;
      tokens += static_cast<double>(output.log_probs.size());
    }
    EXPECT_NEAR(value(row, "perplexity"), std::exp(nll / tokens), 1e-3 * std::exp(nll / tokens));
    EXPECT_EQ(row.layer_cosine.size(), 6u);
    if (row.strategy == "full") {
      EXPECT_EQ(value(row, "KL"), 0);
      EXPECT_EQ(value(row, "top-1"), 100);
    } else {
      EXPECT_GT(value(row, "KL"), 0);
      EXPECT_LT(row.layer_cosine.back(), 1);
    }
  }
  const Plot plot = result_plot(made, {.kind = "similarity"});
  ASSERT_EQ(plot.panels.size(), 4u);  // cosine and norms at two targets
  EXPECT_EQ(plot.panels[0].series.at(0).name, "full");
  EXPECT_EQ(plot.panels[0].series.size(), 3u);
  EXPECT_EQ(plot.panels[3].y_label, "norm / norm of full");
}

// The numbers per layer and step again, as `probe` measures them: text by text.
TEST_F(ResponseSweep, ExportHoldsEveryStep) {
  ASSERT_EQ(folder_.run("a.db", kUntimed), SweepOutcome::kDone);
  const SweepSetup setup = folder_.setup(kUntimed);
  const SweepInputs& inputs = setup.inputs[0];
  Model model(setup.loaded, *setup.backend);
  std::vector<ScoreRequest> requests;
  for (size_t i = 0; i < inputs.prompts.size(); ++i) {
    requests.push_back({inputs.prompts[i], inputs.responses.at(" ")[i]});
  }
  ResultStore store(folder_.path("a.db"), OpenMode::kReadOnly);
  std::vector<Json> lines;
  export_drift(store, [&](const std::string& line) { lines.push_back(Json::parse(line)); });
  const ResultTable made = load_result_table(store);
  ASSERT_EQ(lines.size(), made.rows.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    const Json& line = lines[i];
    const TableRow& row = made.rows[i];
    EXPECT_EQ(line.at("strategy"), row.strategy);
    EXPECT_EQ(line.at("target"), row.target);
    EXPECT_EQ(line.at("prefix"), " ");
    ASSERT_EQ(line.at("steps").size(), row.steps.size());
    std::vector<double> layer_cosine(6), layer_norm_ratio(6);
    double kl = 0, agreeing = 0, tokens = 0, step_tokens = 0;
    std::vector<StepDivergence> wanted;
    if (row.strategy != "early_exit") {  // its threshold is in the store
      const auto strategy = make_strategy({row.strategy, row.target}, 6);
      wanted = measure_divergence({model, model}, *strategy, requests, /*batch=*/1, 1000);
      ASSERT_EQ(line.at("steps").size(), wanted.size());
    }
    for (size_t step = 0; step < row.steps.size(); ++step) {
      const Json& got = line.at("steps")[step];
      const auto texts = got.at("texts").get<double>();
      tokens += texts;
      kl += texts * got.at("kl").get<double>();
      agreeing += texts * got.at("top1_agreement").get<double>();
      if (step > 0) step_tokens += texts;
      for (size_t l = 0; step > 0 && l < 6; ++l) {
        layer_cosine[l] += texts * got.at("cosine").at(l).get<double>();
        layer_norm_ratio[l] += texts * got.at("norm_ratio").at(l).get<double>();
      }
      if (wanted.empty()) continue;
      const StepDivergence& want = wanted[step];
      EXPECT_EQ(got.at("texts"), want.texts);
      EXPECT_NEAR(got.at("layers").get<double>(), want.layers, 1e-9) << row.strategy << step;
      EXPECT_NEAR(got.at("kl").get<double>(), want.kl, 1e-9) << row.strategy << step;
      EXPECT_NEAR(got.at("top1_agreement").get<double>(), want.top1_agreement, 1e-9) << step;
      for (size_t l = 0; l < 6; ++l) {
        EXPECT_NEAR(got.at("cosine").at(l).get<double>(), want.cosine[l], 1e-9) << step << ' ' << l;
        EXPECT_NEAR(got.at("norm_ratio").at(l).get<double>(), want.norm_ratio[l], 1e-9);
      }
    }
    // What sums them up the other way, and over all steps.
    EXPECT_NEAR(value(row, "KL"), kl / tokens, 1e-9);
    EXPECT_NEAR(value(row, "top-1"), 100 * agreeing / tokens, 1e-9);
    for (size_t l = 0; l < 6; ++l) {
      EXPECT_NEAR(row.layer_cosine.at(l), layer_cosine[l] / step_tokens, 1e-12);
      EXPECT_NEAR(row.layer_norm_ratio.at(l), layer_norm_ratio[l] / step_tokens, 1e-12);
    }
  }
  const Plot heat = result_plot(made, {.kind = "steps", .strategy = "unified"});
  ASSERT_EQ(heat.panels.size(), 2u);
  EXPECT_EQ(heat.panels[0].heat.size(), made.rows[0].steps.size());
  EXPECT_NEAR(heat.panels[0].heat.at(2).at(5), lines[1].at("steps")[2].at("cosine")[5], 1e-12);
}

// A file that an older version wrote: the drift by layer is there, the steps are not, and what is
// measured from then on is added up with it.
TEST_F(ResponseSweep, OlderSumsAreKept) {
  ASSERT_EQ(folder_.run("whole.db", kUntimed), SweepOutcome::kDone);
  const int status = run_in_child([&] {
    int batches = 0;
    folder_.run("a.db", kUntimed, {.after_batch = [&] {
                  if (++batches == 5) _exit(7);  // two of the three batches of the first cell
                }});
    return 0;
  });
  ASSERT_EQ(WEXITSTATUS(status), 7);
  forget_steps(folder_.path("a.db"));
  ASSERT_EQ(folder_.run("a.db", kUntimed), SweepOutcome::kDone);
  EXPECT_GT(count_in(folder_.path("a.db"), "SELECT count(*) FROM step_drift WHERE step = -2"), 0);
  const ResultTable got = table("a.db"), want = table("whole.db");
  EXPECT_TRUE(got.rows[0].steps.empty());
  EXPECT_FALSE(got.rows[1].steps.empty());
  for (size_t i = 0; i < want.rows.size(); ++i) {
    for (size_t l = 0; l < 6; ++l) {
      EXPECT_NEAR(got.rows[i].layer_cosine.at(l), want.rows[i].layer_cosine.at(l), 1e-12);
      EXPECT_NEAR(got.rows[i].layer_norm_ratio.at(l), want.rows[i].layer_norm_ratio.at(l), 1e-12);
    }
  }
}

TEST_F(ResponseSweep, FreshForgetsThem) {
  ASSERT_EQ(folder_.run("a.db", kUntimed), SweepOutcome::kDone);
  const Json rows = folder_.untimed_rows("a.db");
  const std::string drift = drift_in(folder_.path("a.db"));
  Database(folder_.path("a.db"), OpenMode::kReadWrite)
      .execute(
          "UPDATE response_scores SET nll = nll + 1; UPDATE step_drift SET kl = kl + 1;"
          " UPDATE layer_drift SET cosine = cosine + 1");
  ASSERT_EQ(folder_.run("a.db", kUntimed, {.fresh = true}), SweepOutcome::kDone);
  EXPECT_EQ(folder_.untimed_rows("a.db"), rows);
  EXPECT_EQ(drift_in(folder_.path("a.db")), drift);
}

// A kill between two batches: the sums are the same.
TEST_F(ResponseSweep, GoesOnWhereItEnded) {
  ASSERT_EQ(folder_.run("whole.db", kUntimed), SweepOutcome::kDone);
  const Json whole = folder_.untimed_rows("whole.db");
  // Metrics of responses come after the texts of a cell: 3 + 3 batches for each of five.
  for (const int killed_after : {2, 4, 5, 10}) {
    const std::string name = fmt::format("killed{}.db", killed_after);
    const int status = run_in_child([&] {
      int batches = 0;
      folder_.run(name, kUntimed, {.after_batch = [&] {
                    if (++batches == killed_after) _exit(7);
                  }});
      return 0;
    });
    ASSERT_EQ(WEXITSTATUS(status), 7);
    ASSERT_EQ(folder_.run(name, kUntimed), SweepOutcome::kDone);
    EXPECT_EQ(folder_.untimed_rows(name), whole) << killed_after;
    EXPECT_EQ(drift_in(folder_.path(name)), drift_in(folder_.path("whole.db"))) << killed_after;
  }
}

TEST_F(ResponseSweep, AddedLaterNothingIsDecodedAgain) {
  ASSERT_EQ(folder_.run("a.db", {"timing.repetitions=0"}), SweepOutcome::kDone);
  Database(folder_.path("a.db"), OpenMode::kReadWrite)
      .execute("UPDATE outputs SET text = 'kept' WHERE idx = 0");
  ASSERT_EQ(folder_.run("a.db", kUntimed), SweepOutcome::kDone);
  EXPECT_GT(count_in(folder_.path("a.db"), "SELECT count(*) FROM outputs WHERE text = 'kept'"), 0);
  ASSERT_EQ(folder_.run("b.db", kUntimed), SweepOutcome::kDone);
  const ResultTable added = table("a.db"), fresh = table("b.db");
  ASSERT_EQ(added.rows.size(), fresh.rows.size());
  for (size_t i = 0; i < added.rows.size(); ++i) {
    for (const char* name : {"perplexity", "KL", "top-1"}) {
      EXPECT_EQ(value(added.rows[i], name), value(fresh.rows[i], name)) << i << name;
    }
    EXPECT_EQ(added.rows[i].layer_cosine, fresh.rows[i].layer_cosine);
  }
}

TEST_F(ResponseSweep, PairedTestsWhereTheyMakeSense) {
  ASSERT_EQ(folder_.run("a.db", kUntimed), SweepOutcome::kDone);
  ResultStore store(folder_.path("a.db"), OpenMode::kReadOnly);
  const auto p_of = [&](const std::string& baseline, const std::string& name) {
    ResultTable compared = load_result_table(store);
    compare_strategies(store, compared, {.baseline = baseline});
    for (const TableRow& row : compared.rows) {
      if (row.strategy != "early_exit" || row.target != 3) continue;
      for (const TableScore& score : row.scores) {
        if (score.name == name) return score.p_value;
      }
    }
    return std::optional<double>(-1);
  };
  EXPECT_GT(p_of("full", "perplexity").value_or(-1), 0);
  EXPECT_FALSE(p_of("full", "KL"));  // full's distance to itself is no measurement
  EXPECT_FALSE(p_of("full", "top-1"));
  for (const char* name : {"perplexity", "KL", "top-1"}) {
    const auto p = p_of("unified", name);
    ASSERT_TRUE(p) << name;
    EXPECT_GT(*p, 0) << name;
    EXPECT_LE(*p, 1) << name;
  }
}

// By resampled references, and of `full` too, which nothing is tested against.
TEST_F(ResponseSweep, EveryScoreHasAnInterval) {
  ASSERT_EQ(folder_.run("a.db", kUntimed), SweepOutcome::kDone);
  ResultStore store(folder_.path("a.db"), OpenMode::kReadOnly);
  for (const PairedTest test : {PairedTest::kBootstrap, PairedTest::kRandomisation}) {
    ResultTable compared = load_result_table(store);
    compare_strategies(store, compared, {.test = test, .settings = {.trials = 100}});
    int wide = 0;
    for (const TableRow& row : compared.rows) {
      for (const TableScore& score : row.scores) {
        ASSERT_TRUE(score.low && score.high) << row.strategy << " " << score.name;
        EXPECT_LE(*score.low, *score.high) << row.strategy << " " << score.name;
        const bool is_to_itself = row.strategy == "full" && score.name == "KL";
        if (is_to_itself) {
          EXPECT_EQ(*score.high, 0);
        }
        wide += score.name == "perplexity" && *score.low < score.value && score.value < *score.high;
      }
    }
    EXPECT_EQ(wide, std::ssize(compared.rows));
  }
}

TEST_F(ResponseSweep, ExportRecomputesTheScores) {
  ASSERT_EQ(folder_.run("a.db", kUntimed), SweepOutcome::kDone);
  ResultStore store(folder_.path("a.db"), OpenMode::kReadOnly);
  std::map<std::pair<std::string, double>, std::array<double, 4>> sums;
  export_outputs(store, /*timing=*/true, [&](const std::string& text) {
    const Json line = Json::parse(text);
    EXPECT_EQ(line.contains("reference_scores"), line.at("kind") == "quality") << text;
    if (!line.contains("reference_scores")) return;
    const Json& scores = line.at("reference_scores").at(0);
    EXPECT_EQ(scores.at("prefix"), " ");
    auto& sum = sums[{line.at("strategy"), line.at("target")}];
    int at = 0;
    for (const char* key : {"tokens", "nll", "kl", "top1"})
      sum[at++] += scores.at(key).get<double>();
  });
  for (const TableRow& row : load_result_table(store).rows) {
    const auto& sum = sums.at({row.strategy, row.target});
    EXPECT_NEAR(value(row, "perplexity"), std::exp(sum[1] / sum[0]), 1e-9);
    EXPECT_NEAR(value(row, "KL"), sum[2] / sum[0], 1e-12);
    EXPECT_NEAR(value(row, "top-1"), 100 * sum[3] / sum[0], 1e-12);
  }
}

TEST_F(ResponseSweep, ShardsAreJoined) {
  ASSERT_EQ(folder_.run("whole.db", kUntimed), SweepOutcome::kDone);
  ASSERT_EQ(folder_.run("1.db", kUntimed, {.shard = {1, 2}}), SweepOutcome::kDone);
  ASSERT_EQ(folder_.run("2.db", kUntimed, {.shard = {2, 2}}), SweepOutcome::kDone);
  const std::vector<std::string> parts = {folder_.path("1.db"), folder_.path("2.db")};
  merge_stores(parts, folder_.path("all.db"), "merge");
  EXPECT_EQ(folder_.untimed_rows("all.db"), folder_.untimed_rows("whole.db"));
  const std::string drift = drift_in(folder_.path("whole.db"));
  EXPECT_NE(drift, "[]");
  EXPECT_EQ(drift_in(folder_.path("all.db")), drift);
  // Of the same cells those with steps are kept, whichever file comes first.
  std::filesystem::copy_file(folder_.path("whole.db"), folder_.path("old.db"));
  forget_steps(folder_.path("old.db"));
  const std::vector<std::string> old_first = {folder_.path("old.db"), folder_.path("all.db")};
  merge_stores(old_first, folder_.path("new1.db"), "");
  EXPECT_EQ(drift_in(folder_.path("new1.db")), drift);
  const std::vector<std::string> old_last = {folder_.path("all.db"), folder_.path("old.db")};
  merge_stores(old_last, folder_.path("new2.db"), "");
  EXPECT_EQ(drift_in(folder_.path("new2.db")), drift);
  const std::vector<std::string> same = {folder_.path("all.db"), folder_.path("whole.db")};
  Database(same[1], OpenMode::kReadWrite)
      .execute("UPDATE response_scores SET kl = kl + 1 WHERE idx = 2");
  EXPECT_NE(
      message_of([&] { merge_stores(same, folder_.path("x.db"), ""); }).find("response 2: kl"),
      std::string::npos);
}

TEST_F(ResponseSweep, ReferencesThatCannotBeRead) {
  folder_.write("test.en", std::string(300, 'y') + "\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n");
  const auto message = [&] { return message_of([&] { folder_.setup(kUntimed); }); };
  EXPECT_NE(message().find("reference do not fit into the model's context"), std::string::npos);
  EXPECT_NE(message().find("example 1"), std::string::npos);
  folder_.write("test.en", "\n\n\n\n\n\n\n\n\n\n\n\n");
  EXPECT_NE(message().find("all first references are empty"), std::string::npos) << message();
  folder_.write("test.en", "\n\na\n\n\n\n\n\n\n\n\n\n");  // one token in all
  ASSERT_EQ(folder_.run("a.db", kUntimed), SweepOutcome::kDone);
  EXPECT_EQ(count_in(folder_.path("a.db"), "SELECT sum(tokens) FROM response_scores"), 5 * 2);
}

}  // namespace
}  // namespace skipbench
