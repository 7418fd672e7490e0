// Scores of layers and drift of skipping runs against double-precision fixtures, and sweeps that
// prune by a score.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "engine/base/error.h"
#include "eval/probe/divergence.h"
#include "eval/probe/layer_statistics.h"
#include "tests/eval/sweep_fixture.h"
#include "tests/model/fixtures.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

Json read_probe_case(const std::string& name) {
  std::ifstream file(fixtures_folder() / "probe" / (name + ".json"));
  return Json::parse(file);
}

void expect_near(const std::vector<double>& got, const Json& want, double relative,
                 const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    const double wanted = want[i].get<double>();
    EXPECT_NEAR(got[i], wanted, relative * std::max(1.0, std::abs(wanted))) << what << " " << i;
  }
}

class ProbeFixture : public testing::TestWithParam<const char*> {
 protected:
  ProbeFixture()
      : fixture_(read_probe_case(GetParam())),
        requests_(requests_of(fixture_)),
        model_((fixtures_folder() / fixture_["model"].get<std::string>()).string(),
               {.threads = 2}) {}

  DivergenceModels itself() {
    Model& model = model_.decoder().model();
    return {model, model};
  }

  Json fixture_;
  std::vector<ScoreRequest> requests_;
  LoadedDecoder model_;
};

TEST_P(ProbeFixture, ScoresAreTheReferences) {
  const int n = model_.num_layers();
  for (const int64_t batch : {1, 4, 100}) {
    int passes = 0;
    LayerProbe probe(model_.decoder().model(), requests_, batch, [&] { ++passes; });
    LayerScores scores;
    const Json& want = fixture_["scores"];
    EXPECT_NEAR(probe.perplexity(LayerSet::all(n)) / fixture_["perplexity_full"].get<double>(), 1,
                1e-4);
    probe.measure_states(scores);
    expect_near(scores.block_influence, want["block_influence"], 1e-5, "block influence");
    ASSERT_EQ(scores.angular.size(), want["angular"].size());
    for (size_t length = 0; length < scores.angular.size(); ++length) {
      expect_near(scores.angular[length], want["angular"][length], 1e-4, "angular");
    }
    probe.measure_perplexity(scores);
    expect_near(scores.perplexity, want["perplexity"], 1e-4, "perplexity");
    probe.extend_greedy(scores, {LayerScore::kGreedy, n - 4, 1, 1});
    probe.extend_greedy(scores, {LayerScore::kGreedy, n - 3, 1, 1});  // goes on, not again
    EXPECT_EQ(Json(scores.greedy), want["greedy"]);
    EXPECT_GT(passes, 0);
  }
}

TEST_P(ProbeFixture, DivergenceIsTheReferences) {
  for (const Json& one : fixture_["divergence"]) {
    const auto strategy = make_strategy(spec_of(one), model_.num_layers());
    for (const int64_t batch : {1, 4}) {
      const auto steps = measure_divergence(itself(), *strategy, requests_, batch,
                                            one["max_steps"].get<int64_t>());
      ASSERT_EQ(steps.size(), one["steps"].size());
      for (size_t i = 0; i < steps.size(); ++i) {
        const Json& want = one["steps"][i];
        const std::string what = fmt::format("{} step {}", one["strategy"].get<std::string>(), i);
        EXPECT_EQ(steps[i].texts, want["texts"].get<int64_t>()) << what;
        expect_near(steps[i].cosine, want["cosine"], 1e-4, what + " cosine");
        expect_near(steps[i].norm_ratio, want["norm_ratio"], 1e-4, what + " norm ratio");
        EXPECT_NEAR(steps[i].kl, want["kl"].get<double>(), 1e-3) << what;
        EXPECT_NEAR(steps[i].top1_agreement, want["top1_agreement"].get<double>(), 1e-9) << what;
        if (i > 0) {
          EXPECT_EQ(steps[i].layers, strategy->step_layers(model_.num_layers(), 0).layers());
        }
      }
    }
  }
}

TEST_P(ProbeFixture, TheFullModelDoesNotDriftFromItself) {
  const auto full = make_strategy({.name = "full"}, model_.num_layers());
  for (const StepDivergence& step : measure_divergence(itself(), *full, requests_, 3, 64)) {
    EXPECT_EQ(step.kl, 0);
    EXPECT_EQ(step.top1_agreement, 1);
    for (const double cosine : step.cosine) EXPECT_NEAR(cosine, 1, 1e-12);
    for (const double ratio : step.norm_ratio) EXPECT_EQ(ratio, 1);
  }
}

// Rows that exit early move in the pass; their states must still be compared with their own.
TEST_P(ProbeFixture, ARowsDriftDoesNotDependOnItsBatch) {
  const StrategySpec spec{
      .name = "early_exit", .target = 2, .params = {{"threshold", {"0.3", "test"}}}};
  const auto strategy = make_strategy(spec, model_.num_layers());
  Model& model = model_.decoder().model();
  const auto together = measure_divergence({model, model}, *strategy, requests_, 100, 64);
  std::vector<double> kl(together.size()), first_cosine(together.size());
  for (const ScoreRequest& request : requests_) {
    const auto alone = measure_divergence({model, model}, *strategy, std::span(&request, 1), 1, 64);
    for (size_t i = 0; i < alone.size(); ++i) {
      kl[i] += alone[i].kl;
      first_cosine[i] += alone[i].cosine.back();
    }
  }
  for (size_t i = 0; i < together.size(); ++i) {
    const auto texts = static_cast<double>(together[i].texts);
    EXPECT_NEAR(together[i].kl, kl[i] / texts, 1e-9) << i;
    EXPECT_NEAR(together[i].cosine.back(), first_cosine[i] / texts, 1e-12) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ProbeFixture, testing::Values("bloom-7layers", "qwen3"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::erase(name, '-');
                           return name;
                         });

std::string pruning_config(const SweepFolder& folder) {
  std::string text = folder.config_text();
  const size_t begin = text.find("  - unified"), end = text.find("targets:");
  text.replace(begin, end - begin,
               "  - {name: static_pruning, label: influence, params: {score: block_influence}}\n"
               "  - {name: static_pruning, label: angular, params: {score: angular}}\n"
               "  - {name: static_pruning, label: one shot, params: {score: perplexity}}\n"
               "  - {name: static_pruning, label: greedy, params: {score: greedy}}\n"
               "  - {name: static_pruning, label: prompts whole, params: {score: block_influence, "
               "prefill: full}}\n");
  return text;
}

TEST(PruningSweep, MeasuresScoresOnceAndPrunesByThem) {
  const SweepFolder folder;
  folder.write_config(pruning_config(folder));
  ASSERT_EQ(folder.run("a.db"), SweepOutcome::kDone);
  // One of each kind: targets, the `prefill: full` variant and timings share them.
  EXPECT_EQ(count_in(folder.path("a.db"), "SELECT count(*) FROM layer_scores"), 4);
  EXPECT_EQ(count_in(folder.path("a.db"), "SELECT count(*) FROM calibration_data"), 1);
  const Json before = folder.untimed_rows("a.db");
  // The scores again, from the stored data.
  ResultStore store(folder.path("a.db"), OpenMode::kReadOnly);
  const SweepSetup setup = folder.setup({"results=" + folder.path("a.db")});
  Model model(setup.loaded, *setup.backend);
  for (const Cell& cell : setup.cells) {
    if (!cell.calibrated) continue;
    const auto data = store.find_calibration_data(
        calibration_data_identity(setup.config, cell, setup.inputs[0], setup.context));
    ASSERT_TRUE(data);
    LayerProbe probe(model, *data, 2);
    LayerScores scores;
    const Pruning pruning = pruning_of(cell.spec, 6);
    probe.measure(scores, pruning);
    const auto order = removal_order(pruning, scores, 6, "test");
    std::string text;
    for (const int layer : order) text += fmt::format("{}{}", text.empty() ? "" : ",", layer);
    EXPECT_EQ(store.find_calibration(cell.calibration_identity)->calibration.value, text);
  }
  for (const Json& row : before) {
    if (row["strategy"] == "full") continue;
    EXPECT_EQ(row["layers"], row["target"] == 1.5 ? 4.0 : 2.0) << row;
    EXPECT_EQ(row["calibration"]["parameter"], "order");
    EXPECT_TRUE(row["calibrated_layers"].is_null());
    EXPECT_EQ(row["status"], "done");
  }
  ASSERT_EQ(folder.run("a.db"), SweepOutcome::kDone);
  EXPECT_EQ(folder.untimed_rows("a.db"), before);
}

TEST(PruningSweep, ScoresFromAFileArePartOfACellsIdentity) {
  const SweepFolder folder;
  std::string text = folder.config_text();
  const size_t begin = text.find("  - unified"), end = text.find("targets:");
  text.replace(begin, end - begin,
               "  - {name: static_pruning, params: {score: perplexity, scores: " +
                   folder.path("scores.json") + "}}\n");
  folder.write_config(text);
  folder.write("scores.json", R"({"scores": {"perplexity": [9, 4, 1, 2, 3, 9]}})");
  const SweepSetup one = folder.setup();
  EXPECT_FALSE(one.cells[3].calibrated);
  const auto strategy = make_strategy(one.cells[3].spec, 6);
  EXPECT_EQ(strategy->step_layers(6, 0).layer_list(), (std::vector<int>{0, 1, 4, 5}));
  const std::string identity = one.cells[3].identity;
  folder.write("scores.json", R"({"scores": {"perplexity": [9, 4, 1, 2, 3, 8]}})");
  EXPECT_NE(folder.setup().cells[3].identity, identity);
  folder.write("scores.json", R"({"scores": {"perplexity": [9, 4, 1, 2, 3]}})");
  EXPECT_THROW(folder.setup(), Error);
}

}  // namespace
}  // namespace skipbench
