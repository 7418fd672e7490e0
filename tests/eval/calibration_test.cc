// Calibrations: what is found is what the strategy then runs.
#include "eval/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>

#include "engine/base/error.h"
#include "eval/exit_search.h"
#include "eval/probe/layer_statistics.h"
#include "strategies/adaskip.h"
#include "tests/eval/sweep_fixture.h"
#include "tests/model/fixtures.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

// The miniature model of 30 layers, on prompts that mean nothing.
class OwnDecoding : public testing::Test {
 protected:
  OwnDecoding() : model_(std::string(SKIPBENCH_SOURCE_DIR) + "/models/miniature", {.threads = 2}) {
    for (int i = 0; i < 12; ++i) {
      prompts_.emplace_back();
      for (int t = 0; t < 3 + i % 5; ++t)
        prompts_.back().push_back((977 * i + 131 * t + 40) % 4000);
    }
  }

  double budget_at(StrategySpec spec, double threshold) {
    spec.params["threshold"] = {std::to_string(threshold), "test"};
    std::vector<LayersPerToken> layers;
    const auto strategy = make_strategy(spec, model_.num_layers());
    for (const auto& output : model_.decoder().generate(prompts_, *strategy, options_).outputs) {
      layers.push_back(output.layers_per_token);
    }
    return realised_budget(layers);
  }

  LoadedDecoder model_;
  std::vector<TokenIds> prompts_;
  GenerateOptions options_{.max_new_tokens = 12};
};

TEST_F(OwnDecoding, TheThresholdFoundBringsTheStrategysOwnTextsToTheBudget) {
  const auto exits = [](const char* signal) {
    return StrategySpec{.name = "early_exit",
                        .target = 2,
                        .params = {{"signal", {signal, ""}}, {"min_layer", {"11", ""}}}};
  };
  std::vector<StrategySpec> specs = {exits("softmax_difference"),
                                     {.name = "ffn_skip", .target = 1.2}};
  if (!kSanitized) {  // which see nothing new in another signal, but for their own tests
    specs.push_back(exits("entropy"));
    specs.push_back(exits("cosine"));
  }
  for (const StrategySpec& spec : specs) {
    int batches = 0;
    const Calibration found = calibrate_threshold(
        model_.decoder(), spec,
        {.prompts = prompts_, .batch_size = 4, .options = options_, .on_batch = [&] {
           ++batches;
         }});
    const std::string label =
        spec.name + (spec.params.empty() ? "" : " by " + spec.params.at("signal").text);
    EXPECT_EQ(found.budget, layer_budget(30, spec.target)) << label;
    EXPECT_TRUE(found.on_target) << label << ": " << found.realised_budget;
    EXPECT_NEAR(found.realised_budget, found.budget, 0.01 * found.budget) << label;
    EXPECT_EQ(batches, 3 * found.passes) << label;
    // The same texts, whatever the batch.
    StrategySpec again = spec;
    again.params["threshold"] = {Json(found.threshold).dump(), "test"};
    std::vector<LayersPerToken> layers;
    const auto strategy = make_strategy(again, 30);
    for (const TokenIds& prompt : prompts_) {
      layers.push_back(model_.decoder()
                           .generate(std::span(&prompt, 1), *strategy, options_)
                           .outputs[0]
                           .layers_per_token);
    }
    EXPECT_DOUBLE_EQ(realised_budget(layers), found.realised_budget) << label;
  }
}

// A real language model, whose confidences are a real model's.
TEST(CalibrationOfTheDemoModel, HitsItsTarget) {
  if (kSanitized) GTEST_SKIP() << "takes minutes under sanitizers, which see the miniature's";
  const auto folder = std::filesystem::path(SKIPBENCH_SOURCE_DIR) / "models" / "smollm2-135m";
  if (!std::filesystem::exists(folder))
    GTEST_SKIP() << "no demo model: scripts/fetch_model smollm2";
  std::ifstream file(fixtures_folder() / "smollm2_greedy.json");
  std::vector<TokenIds> prompts;
  const Json fixture = Json::parse(file);
  for (const Json& text : fixture["greedy"]) {
    prompts.push_back(text["prompt"].get<TokenIds>());
  }
  prompts.resize(8);
  LoadedDecoder model(folder.string(), {});
  const StrategySpec spec{
      .name = "early_exit", .target = 2, .params = {{"exit_interval", {"3", ""}}}};
  const Calibration found =
      calibrate_threshold(model.decoder(), spec,
                          {.prompts = prompts, .batch_size = 8, .options = {.max_new_tokens = 16}});
  EXPECT_TRUE(found.on_target) << found.realised_budget << " of " << found.budget << " layers";
  EXPECT_NEAR(found.realised_budget, found.budget, 0.01 * found.budget);
}

TEST_F(OwnDecoding, ABudgetOutOfReachIsTheNearestAndSaysSo) {
  // Layers up to 20 always run: no threshold gives 15.
  const StrategySpec spec{.name = "early_exit", .target = 2, .params = {{"min_layer", {"20", ""}}}};
  const Calibration found =
      calibrate_threshold(model_.decoder(), spec, {.prompts = prompts_, .options = options_});
  EXPECT_FALSE(found.on_target);
  EXPECT_EQ(found.threshold, 0.0);
  EXPECT_EQ(found.passes, 1);
  EXPECT_DOUBLE_EQ(found.realised_budget, budget_at(spec, 0.0));
}

TEST_F(OwnDecoding, NothingSkippedNeedsNoPass) {
  const Calibration found = calibrate_threshold(model_.decoder(), {.name = "early_exit"},
                                                {.prompts = prompts_, .options = options_});
  EXPECT_EQ(found.passes, 0);
  EXPECT_EQ(found.threshold, 1.0);
  EXPECT_TRUE(found.on_target);
}

TEST_F(OwnDecoding, RefusesPromptsWithoutAStep) {
  const StrategySpec spec{.name = "early_exit", .target = 2};
  EXPECT_THROW(calibrate_threshold(model_.decoder(), spec, {.options = options_}), Error);
  EXPECT_THROW(calibrate_threshold(model_.decoder(), spec,
                                   {.prompts = prompts_, .options = {.max_new_tokens = 1}}),
               Error);
}

TEST_F(OwnDecoding, TheSearchTimesWhatIsOnTargetAndPutsTheFastestFirst) {
  const ExitGrid grid{
      .signals = {"softmax_difference", "cosine"}, .min_layers = {11, 20}, .intervals = {1}};
  const auto found = search_exits(model_.decoder(), {.name = "early_exit", .target = 2}, grid,
                                  {.prompts = prompts_, .batch_size = 12, .options = options_}, 2);
  ASSERT_EQ(found.size(), 4u);
  for (size_t i = 0; i < found.size(); ++i) {
    const bool possible = found[i].spec.params.at("min_layer").text == "11";
    EXPECT_EQ(found[i].calibration.on_target, possible);
    EXPECT_EQ(found[i].tokens_per_second.size(), possible ? 2u : 0u);
    EXPECT_EQ(i < 2, possible);
    if (i > 0) {
      EXPECT_LE(found[i].median_tokens_per_second, found[i - 1].median_tokens_per_second);
    }
  }
  EXPECT_THROW(search_exits(model_.decoder(), {.name = "early_exit"}, grid,
                            {.prompts = prompts_, .options = options_}, 1),
               Error);
}

class SublayerScoresOf : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, SublayerScoresOf, testing::Values("bloom-7layers", "qwen3"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST_P(SublayerScoresOf, SimilaritiesAndNormRatiosAreTheReferences) {
  std::ifstream file(fixtures_folder() / "rules" / (std::string(GetParam()) + ".json"));
  const Json fixture = Json::parse(file);
  LoadedDecoder model((fixtures_folder() / fixture["model"].get<std::string>()).string(),
                      {.threads = 2});
  const auto requests = requests_of(fixture);
  for (const int64_t batch : {1, 3, 100}) {
    LayerScores scores;
    LayerProbe(model.decoder().model(), requests, batch).measure_sublayers(scores);
    for (const bool attention : {true, false}) {
      const SublayerScores& got = attention ? scores.attention : scores.mlp;
      const Json& want = fixture["sublayer_scores"][attention ? "attention" : "mlp"];
      ASSERT_EQ(got.similarity.size(), want["similarity"].size());
      for (size_t layer = 0; layer < got.similarity.size(); ++layer) {
        EXPECT_NEAR(got.similarity[layer], want["similarity"][layer].get<double>(), 1e-5);
        const double ratio = want["norm_ratio"][layer].get<double>();
        EXPECT_NEAR(got.norm_ratio[layer] / ratio, 1, 1e-5);
      }
    }
  }
}

TEST(DynamicSweep, RunsSublayersExitsByCosineAndBothBatchSemantics) {
  const SweepFolder folder;
  std::string text = folder.config_text();
  const size_t begin = text.find("  - unified"), end = text.find("targets:");
  text.replace(begin, end - begin,
               "  - adaskip\n"
               "  - ffn_skip\n"
               "  - {name: early_exit, label: cosine, params: {signal: cosine}}\n"
               "  - {name: early_exit, label: waiting, params: {batch: wait}}\n"
               "  - {name: early_exit, label: leaving, params: {batch: compact}}\n");
  folder.write_config(text);
  ASSERT_EQ(folder.run("a.db"), SweepOutcome::kDone);
  const Json rows = folder.untimed_rows("a.db");
  std::map<std::string, Json> at_low_target;
  for (const Json& row : rows) {
    EXPECT_EQ(row["status"], "done") << row;
    if (row["strategy"] == "full") continue;
    const Json& calibration = row["calibration"];
    EXPECT_EQ(calibration["parameter"], row["strategy"] == "adaskip" ? "scores" : "threshold");
    if (row["strategy"] == "adaskip") {
      // Texts of 9 tokens: no step is late, and the sets are exactly 2K sublayers.
      EXPECT_EQ(row["layers"], row["target"] == 1.5 ? 4.0 : 2.0) << row;
      EXPECT_TRUE(calibration["on_target"].get<bool>());
    }
    // One MLP in four layers between the ends: at most 3 are skipped, 1.5 layers.
    if (row["strategy"] == "ffn_skip") {
      EXPECT_GE(row["layers"].get<double>(), 4.5);
    }
    if (row["target"] == 1.5 && row["batch"] == 3) at_low_target[row["strategy"]] = row;
  }
  ASSERT_EQ(at_low_target.size(), 5u);
  EXPECT_EQ(at_low_target["waiting"]["layers"], at_low_target["leaving"]["layers"]);
  EXPECT_EQ(at_low_target["waiting"]["scores"], at_low_target["leaving"]["scores"]);
  ASSERT_EQ(folder.run("a.db"), SweepOutcome::kDone);
  EXPECT_EQ(folder.untimed_rows("a.db"), rows);
}

}  // namespace
}  // namespace skipbench
