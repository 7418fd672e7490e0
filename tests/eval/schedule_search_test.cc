// The search for skip_decode's slope: schedules of one mean, the least loss first.
#include "eval/schedule_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "engine/base/error.h"
#include "tests/eval/sweep_fixture.h"
#include "tests/model/fixtures.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

// Texts of 1 to 13 tokens that mean nothing.
std::vector<ScoreRequest> some_texts(int count, int vocabulary) {
  std::vector<ScoreRequest> texts;
  for (int i = 0; i < count; ++i) {
    ScoreRequest& text = texts.emplace_back();
    for (int t = 0; t < 2 + i % 4; ++t) text.prompt.push_back((97 * i + 13 * t + 1) % vocabulary);
    for (int t = 0; t < 1 + (5 * i) % 13; ++t) {
      text.continuation.push_back((41 * i + 29 * t + 5) % vocabulary);
    }
  }
  return texts;
}

// Mean layers per step, the schedule written once more in floating point.
double mean_layers(int most, int least, double length, const std::vector<ScoreRequest>& texts) {
  double layers = 0, steps = 0;
  for (const ScoreRequest& text : texts) {
    for (int step = 0; step + 1 < static_cast<int>(text.continuation.size()); ++step) {
      const double share = std::min(1.0, static_cast<double>(step) / (length - 1));
      layers += std::floor(most - (most - least) * share + 0.5 + 1e-9);
      ++steps;
    }
  }
  return layers / steps;
}

// Text by text, without a batch.
double loss_of(Decoder& decoder, const StrategySpec& spec, const std::vector<ScoreRequest>& texts) {
  const auto strategy = make_strategy(spec, decoder.model().config().num_layers);
  double loss = 0, tokens = 0;
  for (const ScoreRequest& text : texts) {
    const auto outputs = decoder.score({&text, 1}, *strategy);
    for (const double log_prob : outputs[0].log_probs) {
      loss -= log_prob;
      ++tokens;
    }
  }
  return loss / tokens;
}

class ScheduleSearch : public testing::Test {
 protected:
  // Ascending values of min_layers, each checked against what is computed here.
  std::vector<int> check(LoadedDecoder& model, double target, int vocabulary,
                         const std::vector<int>& values) {
    const auto texts = some_texts(14, vocabulary);
    const StrategySpec base{.name = "skip_decode", .target = target};
    int batches = 0;
    const auto found =
        search_schedules(model.decoder(), base, values,
                         {.texts = texts, .batch_size = 5, .on_batch = [&] { ++batches; }});
    EXPECT_EQ(batches, 3 * std::ssize(found));
    const int budget = layer_budget(model.num_layers(), target);
    std::set<int> seen;
    for (size_t i = 0; i < found.size(); ++i) {
      const ScheduleCandidate& one = found[i];
      const std::string label = "min_layers " + std::to_string(one.min_layers);
      EXPECT_TRUE(seen.insert(one.min_layers).second) << label;
      EXPECT_EQ(one.max_layers, 2 * budget - one.min_layers) << label;
      StrategySpec spec = base;
      spec.params["min_layers"] = {std::to_string(one.min_layers), ""};
      spec.params["expected_length"] = {one.calibration.value, ""};
      EXPECT_NEAR(one.loss, loss_of(model.decoder(), spec, texts), 1e-9) << label;
      const double length = std::stod(one.calibration.value);
      EXPECT_NEAR(one.realised_budget, mean_layers(one.max_layers, one.min_layers, length, texts),
                  1e-9)
          << label;
      // On target wherever some length is, a whole one where there is one.
      double nearest = std::numeric_limits<double>::infinity(), at = 0;
      const auto consider = [&](double other) {
        const double mean = mean_layers(one.max_layers, one.min_layers, other, texts);
        if (std::abs(mean - budget) >= nearest) return;
        nearest = std::abs(mean - budget);
        at = other;
      };
      for (int other = 2; other < 200; ++other) consider(other);
      if (nearest > 0.01 * budget) {
        const int whole = static_cast<int>(at);
        for (int part = -1000; part <= 1000; ++part) {
          if (whole * 1000 + part >= 2000) consider((whole * 1000 + part) / 1000.0);
        }
      }
      EXPECT_NEAR(std::abs(one.realised_budget - budget), nearest, 1e-9) << label;
      EXPECT_EQ(one.calibration.on_target, nearest <= 0.01 * budget) << label;
      EXPECT_EQ(one.within_budget, one.realised_budget <= 1.01 * budget) << label;
      if (i > 0 && found[i - 1].within_budget == one.within_budget) {
        EXPECT_GE(one.loss, found[i - 1].loss) << label;
      }
      if (i > 0) {
        EXPECT_GE(found[i - 1].within_budget, one.within_budget);
      }
    }
    return {seen.begin(), seen.end()};
  }

  LoadedDecoder small_{(fixtures_folder() / "models" / "bloom-7layers").string(), {.threads = 2}};
};

TEST_F(ScheduleSearch, PutsTheLeastLossFirstAtOneBudget) {
  const int vocabulary = small_.loaded().config.vocab_size;
  EXPECT_EQ(check(small_, 1.4, vocabulary, {}), (std::vector<int>{3, 4, 5}));
  EXPECT_EQ(check(small_, 7.0 / 3, vocabulary, {}), (std::vector<int>{2, 3}));
  EXPECT_EQ(check(small_, 1.4, vocabulary, {5, 3, 5}), (std::vector<int>{3, 5}));
}

TEST_F(ScheduleSearch, GoesOverTheWholeRangeOfManyLayers) {
  LoadedDecoder model(std::string(SKIPBENCH_SOURCE_DIR) + "/models/miniature", {.threads = 2});
  EXPECT_EQ(check(model, 5, 4000, {}), (std::vector<int>{2, 3, 4, 5, 6}));
  if (kSanitized) return;  // more ranges of the same take minutes there
  EXPECT_EQ(check(model, 1.25, 4000, {}).size(), 7u);  // 18 to 24
  const auto texts = some_texts(3, 4000);
  const auto many = search_schedules(model.decoder(), {.name = "skip_decode", .target = 1.7}, {},
                                     {.texts = std::span(texts).subspan(1, 1)});
  EXPECT_EQ(many.size(), 14u);  // K = 17: 4 to 17
}

// The first decoding step runs the most layers whatever the length: only the flat one is on target.
TEST_F(ScheduleSearch, WhatMissesTheBudgetComesLast) {
  const std::vector<ScoreRequest> texts = {{{1, 2}, {3, 4}}, {{5}, {6, 7}}};
  const auto found = search_schedules(small_.decoder(), {.name = "skip_decode", .target = 1.4}, {},
                                      {.texts = texts, .batch_size = 2});
  ASSERT_EQ(found.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(found[i].calibration.on_target, i == 0);
    EXPECT_EQ(found[i].within_budget, i == 0);
    EXPECT_EQ(found[i].realised_budget, found[i].max_layers);
  }
  EXPECT_EQ(found[0].min_layers, 5);
  EXPECT_EQ(found[0].spec.params.count("expected_length"), 0u);
}

// A made-up score: the number of layers of step 0.
TEST_F(ScheduleSearch, AScoreDecidesWhereThereIsOne) {
  const auto texts = some_texts(14, small_.loaded().config.vocab_size);
  for (const bool higher_is_better : {true, false}) {
    const auto found = search_schedules(
        small_.decoder(), {.name = "skip_decode", .target = 1.4}, {},
        {.texts = texts,
         .batch_size = 20,
         .score =
             [](const SkipStrategy& strategy) {
               return ScheduleTexts::Score{strategy.step_layers(7, 0).layers(), 1};
             },
         .higher_is_better = higher_is_better});
    ASSERT_EQ(found.size(), 3u);
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(*found[i].score, found[i].max_layers);
    double last = higher_is_better ? 100 : 0;
    for (const ScheduleCandidate& one : found) {
      if (!one.within_budget) break;
      EXPECT_TRUE(higher_is_better ? *one.score <= last : *one.score >= last);
      last = *one.score;
    }
  }
}

// Texts that end early run the steep schedule's many layers alone.
TEST_F(ScheduleSearch, ASchedulesOwnTextsMustKeepTheBudgetToo) {
  const auto texts = some_texts(14, small_.loaded().config.vocab_size);
  const auto found = search_schedules(
      small_.decoder(), {.name = "skip_decode", .target = 1.4}, {},
      {.texts = texts, .batch_size = 20, .score = [](const SkipStrategy& strategy) {
         const double most = strategy.step_layers(7, 0).layers();
         return ScheduleTexts::Score{most, most};
       }});
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].max_layers, 5);  // the flat one: all others ran more than 5
  EXPECT_TRUE(found[0].within_budget);
  EXPECT_FALSE(found[1].within_budget);
  EXPECT_FALSE(found[2].within_budget);
  EXPECT_EQ(*found[1].decoded_layers, *found[1].score);
}

TEST_F(ScheduleSearch, RefusesWhatHasNothingToSearch) {
  const auto texts = some_texts(4, 100);
  const auto message = [&](const StrategySpec& base, std::vector<int> values,
                           std::span<const ScoreRequest> data) {
    return message_of([&] { search_schedules(small_.decoder(), base, values, {.texts = data}); });
  };
  const auto expect = [](const std::string& text, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) {
      EXPECT_NE(text.find(part), std::string::npos) << part << " not in: " << text;
    }
  };
  const StrategySpec spec{.name = "skip_decode", .target = 1.4};
  expect(message({.name = "skip_decode"}, {}, texts), {"nothing to search", "7 of 7 layers"});
  expect(message({.name = "skip_decode", .target = 3.5}, {}, texts),
         {"nothing to search", "2 of 7 layers", "min_layers is 2"});
  expect(message({.name = "unified", .target = 1.4}, {}, texts), {"nothing to search", "unified"});
  expect(message(spec, {2}, texts), {"--min-layers", "min_layers", "[3, 5]", "2"});
  expect(message(spec, {6}, texts), {"--min-layers", "[3, 5]", "6"});
  expect(message(spec, {}, {}), {"no text to calibrate its expected_length on"});
  expect(message(spec, {}, std::span(texts).first(1)), {"two tokens or more"});
  StrategySpec warm = spec;
  warm.params["warmup_layers"] = {"4", "--param"};
  expect(message(warm, {}, texts), {"nothing to search", "min_layers is 5"});
}

TEST(CalibrationTexts, AreTheCalibrationPromptsWithTheirFirstReferences) {
  const SweepFolder folder;
  const auto texts_of = [&](const std::vector<std::string>& overrides, size_t limit) {
    const SweepSetup setup = folder.setup(overrides);
    return calibration_texts(setup.config.datasets[0], setup.inputs[0], *setup.tokenizer,
                             setup.loaded.config, limit)
        .texts;
  };
  const auto text_of = [](const TokenIds& tokens) {  // tokens are bytes
    return std::string(tokens.begin(), tokens.end());
  };
  const auto texts = texts_of({}, 3);  // 7 of 12 examples are evaluated
  ASSERT_EQ(texts.size(), 3u);
  EXPECT_EQ(text_of(texts[0].continuation), "sentence 7 of 3 words, the end .");
  EXPECT_EQ(text_of(texts[2].continuation), "sentence 9 of 5 words, the end .");
  EXPECT_EQ(texts_of({}, 100).size(), 5u);
  const std::string metric = "datasets.de-en.metrics=[{bleu: {}}, {perplexity: {prefix: ' > '}}]";
  EXPECT_EQ(text_of(texts_of({metric}, 1)[0].continuation), " > sentence 7 of 3 words, the end .");
  EXPECT_NE(message_of([&] {
              texts_of({"datasets.de-en.limit=12", "strategies=[full]"}, 3);
            }).find("no calibration prompt with a reference"),
            std::string::npos);
}

}  // namespace
}  // namespace skipbench
