// Beam search: transformers' texts on every device, and under skipping those of a search that reads
// every beam from its beginning. Other models on devices: device_test.cc.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "engine/base/error.h"
#include "tests/devices.h"
#include "tests/model/fixtures.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

TEST(BeamOptions, OutOfRangeIsRefused) {
  const auto refused = [](const BeamOptions& options) {
    EXPECT_THROW(check_beams(options, "beams"), Error);
  };
  check_beams({}, "beams");
  check_beams({.beams = 4, .length_penalty = -2, .no_repeat_ngram = 3}, "beams");
  check_beam_candidates({.beams = 5}, /*end_of_text_ids=*/2, /*vocabulary=*/15, "beams");
  check_beam_candidates({.beams = 1}, 2, 1, "beams");
  EXPECT_THROW(check_beam_candidates({.beams = 6}, 2, 15, "beams"), Error);
  refused({.beams = 0});
  refused({.beams = 65});
  refused({.beams = 2, .length_penalty = NAN});
  refused({.beams = 2, .length_penalty = 1e9});
  refused({.beams = 2, .no_repeat_ngram = -1});
  refused({.no_repeat_ngram = 3});  // one beam has none of them
  refused({.length_penalty = 2});
  EXPECT_EQ(parse_early_stopping("never", "x"), EarlyStopping::kNever);
  EXPECT_THROW(parse_early_stopping("maybe", "x"), Error);
}

class BeamFixture : public testing::TestWithParam<FixtureOnDevice> {
 protected:
  void SetUp() override { skip_without(GetParam().device); }
};

TEST_P(BeamFixture, EqualsTransformers) {
  const Json fixture = Json::parse(
      std::ifstream(fixtures_folder() / "beams" / fmt::format("{}.json", GetParam().fixture)));
  LoadedDecoder model((fixtures_folder() / fixture.at("model").get<std::string>()).string(),
                      {.device = GetParam().device, .threads = 2});
  const auto full = make_strategy({.name = "full"}, model.num_layers());
  const auto prompts = fixture.at("prompts").get<std::vector<TokenIds>>();
  const bool is_emulated = GetParam().device == "emulated";
  for (const Json& search : fixture.at("searches")) {
    if (is_emulated && search.at("new_tokens") > (kSanitized ? 8 : 10)) continue;
    SCOPED_TRACE(search.dump());
    GenerateOptions options{.max_new_tokens = search.at("new_tokens")};
    options.beams = {
        .beams = search.at("beams"),
        .length_penalty = search.value("length_penalty", 1.0),
        .early_stopping = parse_early_stopping(search.value("early_stopping", "false"), "fixture"),
        .no_repeat_ngram = search.value("no_repeat_ngram", 0)};
    if (search.contains("end_of_text")) options.end_of_text_ids = {search.at("end_of_text")};
    if (search.contains("stops_but_for")) {
      options.stop = [residue = search.at("stops_but_for").get<int>()](
                         size_t, std::span<const int32_t> tokens) {
        return tokens.size() % 3 == 2 && tokens.back() % 8 != residue;
      };
    }
    const auto want = search.at("outputs").get<std::vector<TokenIds>>();
    const GenerateResult together = model.decoder().generate(prompts, *full, options);
    int64_t decoded = 0;
    for (size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(together.outputs[i].tokens, want[i]) << i;
      EXPECT_EQ(together.outputs[i].layers_per_token,
                LayersPerToken(want[i].size(), model.num_layers()));
      decoded += std::ssize(want[i]) - 1;
      if (is_emulated) continue;
      // A text's beams do not depend on the batch.
      const auto alone = model.decoder().generate(std::span(&prompts[i], 1), *full, options);
      EXPECT_EQ(alone.outputs[0].tokens, want[i]) << i;
    }
    EXPECT_EQ(together.timings.decode_tokens, decoded);
  }
}

// The emulated device takes those of four layers.
INSTANTIATE_TEST_SUITE_P(
    , BeamFixture,
    testing::Values(FixtureOnDevice{"cpu", "bloom-7layers"}, FixtureOnDevice{"cpu", "llama-untied"},
                    FixtureOnDevice{"cpu", "mistral-window"}, FixtureOnDevice{"cpu", "qwen3"},
                    FixtureOnDevice{"emulated", "llama-untied"},
                    FixtureOnDevice{"emulated", "mistral-window"},
                    FixtureOnDevice{"cuda", "bloom-7layers"},
                    FixtureOnDevice{"cuda", "llama-untied"},
                    FixtureOnDevice{"cuda", "mistral-window"}, FixtureOnDevice{"cuda", "qwen3"}),
    [](const auto& test) { return as_test_name(test.param.device + "_" + test.param.fixture); });

// The best of `beams` texts of forced length. Nothing is shared between beams, nothing kept between
// steps: each continuation of each beam is scored from the prompt on.
TokenIds search_by_scoring(Decoder& decoder, const SkipStrategy& strategy, const TokenIds& prompt,
                           int vocab, int beams, int new_tokens) {
  std::vector<std::pair<double, TokenIds>> best = {{0.0, {}}};
  for (int step = 0; step < new_tokens; ++step) {
    std::vector<ScoreRequest> requests;
    for (const auto& [score, tokens] : best) {
      for (int32_t token = 0; token < vocab; ++token) {
        requests.push_back({prompt, tokens});
        requests.back().continuation.push_back(token);
      }
    }
    const auto scored = decoder.score(requests, strategy);
    std::vector<std::pair<double, TokenIds>> next;
    for (size_t i = 0; i < requests.size(); ++i) {
      double sum = 0;
      for (const double log_prob : scored[i].log_probs) sum += log_prob;
      next.emplace_back(sum, requests[i].continuation);
    }
    std::stable_sort(next.begin(), next.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    next.resize(static_cast<size_t>(beams));
    best = std::move(next);
  }
  return best[0].second;
}

struct SkippingCase {
  const char* name;
  StrategySpec spec;
};

TEST(BeamSearch, UnderSkippingEqualsScoringEveryBeamFromItsBeginning) {
  const std::vector<SkippingCase> cases = {
      {"unified", {.name = "unified", .target = 2}},
      {"fixed_exit", {.name = "fixed_exit", .target = 3}},
      {"skip_decode",
       {.name = "skip_decode", .target = 1.5, .params = {{"expected_length", {"4", "test"}}}}},
      {"sublayers",
       {.name = "layers",
        .params = {{"attention", {"0-3,6", "test"}}, {"mlp", {"0,2-6", "test"}}}}}};
  LoadedDecoder model((fixtures_folder() / "models" / "bloom-7layers").string(), {.threads = 1});
  const int vocab = model.loaded().config.vocab_size;
  const int new_tokens = kSanitized ? 3 : 5;
  const std::vector<TokenIds> prompts = {{5, 9, 33}, {90}, {7, 7, 12, 40, 3, 3}};
  for (const SkippingCase& one : cases) {
    SCOPED_TRACE(one.name);
    const auto strategy = make_strategy(one.spec, model.num_layers());
    GenerateOptions options{.max_new_tokens = new_tokens};
    options.beams.beams = 3;
    const auto outputs = model.decoder().generate(prompts, *strategy, options).outputs;
    const auto greedy =
        model.decoder().generate(prompts, *strategy, {.max_new_tokens = new_tokens}).outputs;
    for (size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(outputs[i].tokens,
                search_by_scoring(model.decoder(), *strategy, prompts[i], vocab, 3, new_tokens))
          << i;
      EXPECT_EQ(outputs[i].layers_per_token, greedy[i].layers_per_token) << i;
    }
  }
}

TEST(BeamSearch, AStopTextEndsAHypothesis) {
  LoadedDecoder model((fixtures_folder() / "models" / "qwen3").string(), {.threads = 1});
  const auto full = make_strategy({.name = "full"}, model.num_layers());
  const std::vector<TokenIds> prompts = {{18, 5, 5}, {22}};
  GenerateOptions by_id{.max_new_tokens = 12, .end_of_text_ids = {2}};
  by_id.beams = {.beams = 4, .no_repeat_ngram = 2};
  GenerateOptions by_text = by_id;
  by_text.end_of_text_ids.clear();
  by_text.stop = [](size_t, std::span<const int32_t> tokens) { return tokens.back() == 2; };
  const auto want = model.decoder().generate(prompts, *full, by_id).outputs;
  const auto got = model.decoder().generate(prompts, *full, by_text).outputs;
  for (size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(got[i].tokens, want[i].tokens) << i;
}

// Scores beyond any that texts usually have, and texts that can end in no other way.
TEST(BeamSearch, ATextHasATokenAtLeast) {
  LoadedDecoder model((fixtures_folder() / "models" / "llama-1layer").string(), {.threads = 1});
  const auto full = make_strategy({.name = "full"}, model.num_layers());
  const int vocab = model.loaded().config.vocab_size;
  TokenIds all;
  for (int32_t id = 0; id < vocab; ++id) all.push_back(id);
  const std::vector<TokenIds> prompts = {{1, 2, 3}, all};
  GenerateOptions options{.max_new_tokens = 40};
  options.beams = {.beams = 2, .no_repeat_ngram = 1};
  const auto unique = model.decoder().generate(prompts, *full, options).outputs;
  EXPECT_EQ(std::ssize(unique[0].tokens), vocab - 3);  // transformers' text: each id once
  EXPECT_EQ(std::ssize(unique[1].tokens), 1);
  options = {.max_new_tokens = 3};
  for (const double penalty : {-100.0, -30.0, 100.0}) {
    options.beams = {.beams = 2, .length_penalty = penalty};
    for (const auto& output : model.decoder().generate(prompts, *full, options).outputs) {
      EXPECT_EQ(std::ssize(output.tokens), 3) << penalty;
      EXPECT_EQ(output.layers_per_token.size(), 3u);
    }
  }
}

TEST(BeamSearch, RefusesWhatItCannotDo) {
  LoadedDecoder model((fixtures_folder() / "models" / "bloom-7layers").string(), {.threads = 1});
  const std::vector<TokenIds> prompts = {{1, 2}};
  const auto message = [&](const StrategySpec& spec, GenerateOptions options) {
    try {
      model.decoder().generate(prompts, *make_strategy(spec, model.num_layers()), options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  GenerateOptions options{.max_new_tokens = 4};
  options.beams.beams = 4;
  const StrategySpec exits = {
      .name = "early_exit", .target = 2, .params = {{"threshold", {"0.5", "test"}}}};
  EXPECT_NE(message(exits, options).find("do not depend on the text"), std::string::npos);
  EXPECT_NE(message({.name = "self_speculative", .target = 2}, options).find("do not depend"),
            std::string::npos);
  options.beams.beams = 49;  // 98 candidates of 97 tokens
  EXPECT_NE(message({.name = "full"}, options).find("at most 48 (97 tokens, 2 of them"),
            std::string::npos);
  options.beams.beams = 2;
  options.sampling.temperature = 1;
  EXPECT_NE(message({.name = "full"}, options).find("draws"), std::string::npos);
}

}  // namespace
}  // namespace skipbench
