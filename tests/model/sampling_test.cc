// Draws depend on the text and the place alone, follow the model's distribution, and are the same
// where another strategy drafts them or another device makes them.
#include "engine/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/base/error.h"
#include "tests/devices.h"
#include "tests/model/fixtures.h"

namespace skipbench {
namespace {

std::string path_of(const char* name) { return (fixtures_folder() / "models" / name).string(); }

std::vector<StrategySpec> sampled_specs() {
  return {{.name = "full"},
          {.name = "unified", .target = 2},
          {.name = "random", .target = 1.5, .params = {{"per", {"step", ""}}}},
          {.name = "early_exit", .target = 2, .params = {{"threshold", {"0.05", ""}}}},
          {.name = "early_exit",
           .target = 2,
           .params = {{"threshold", {"0.02", ""}}, {"batch", {"compact", ""}}}},
          {.name = "early_exit",
           .target = 2,
           .params = {{"threshold", {"0.9", ""}}, {"signal", {"cosine", ""}}}},
          {.name = "ffn_skip", .target = 1.2, .params = {{"threshold", {"0.9", ""}}}},
          {.name = "self_speculative", .target = 2}};
}

TEST(Sampling, ATextsDrawsDoNotDependOnItsBatch) {
  LoadedDecoder model(path_of("bloom-7layers"), {.threads = 2});
  const auto prompts = ragged_prompts(6, 97);
  GenerateOptions options{.max_new_tokens = 9, .sampling = {.temperature = 6, .seed = 4}};
  for (const StrategySpec& spec : sampled_specs()) {
    const auto strategy = make_strategy(spec, model.num_layers());
    options.first_text = 0;
    const auto batched = model.decoder().generate(prompts, *strategy, options).outputs;
    for (size_t i = 0; i < prompts.size(); ++i) {
      options.first_text = static_cast<int32_t>(i);
      const auto alone =
          model.decoder().generate(std::span(prompts).subspan(i, 1), *strategy, options).outputs[0];
      EXPECT_EQ(alone.tokens, batched[i].tokens) << spec.name << ", text " << i;
      EXPECT_EQ(alone.layers_per_token, batched[i].layers_per_token) << spec.name;
    }
  }
}

TEST(Sampling, SeedsAndTextsDrawTheirOwn) {
  LoadedDecoder model(path_of("bloom-7layers"), {.threads = 1});
  const std::vector<TokenIds> prompts(5, TokenIds{1, 2, 3});
  const auto full = make_strategy({.name = "full"}, model.num_layers());
  std::map<TokenIds, int> seen;
  for (const uint64_t seed : {1, 2}) {
    const GenerateOptions options{.max_new_tokens = 12,
                                  .sampling = {.temperature = 6, .seed = seed}};
    for (const auto& output : model.decoder().generate(prompts, *full, options).outputs) {
      ++seen[output.tokens];
    }
  }
  EXPECT_EQ(seen.size(), 10u);
}

TEST(Sampling, OneOfTheTopOneIsGreedy) {
  LoadedDecoder model(path_of("llama-untied"), {.threads = 1});
  const auto prompts = ragged_prompts(4, 61);
  const auto full = make_strategy({.name = "full"}, model.num_layers());
  const auto greedy = model.decoder().generate(prompts, *full, {.max_new_tokens = 8}).outputs;
  const GenerateOptions options{.max_new_tokens = 8,
                                .sampling = {.temperature = 2, .top_k = 1, .seed = 1}};
  const auto drawn = model.decoder().generate(prompts, *full, options).outputs;
  for (size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(drawn[i].tokens, greedy[i].tokens);
}

// Whatever is drafted: the same noise at the same place.
TEST(Sampling, SelfSpeculativeDrawsWhatFullDraws) {
  for (const char* name : {"bloom-7layers", "llama-bf16-sharded", "qwen3"}) {
    LoadedDecoder model(path_of(name), {.threads = 2});
    const int n = model.num_layers();
    const auto prompts = ragged_prompts(16, 61);
    const auto full = make_strategy({.name = "full"}, n);
    for (const Sampling& sampling :
         {Sampling{0.3, 0, 1}, Sampling{3.0, 0, 2}, Sampling{8.0, 5, 3}}) {
      const GenerateOptions options{.max_new_tokens = 15, .sampling = sampling};
      const auto want = model.decoder().generate(prompts, *full, options).outputs;
      for (const double target : {1.0, 1.5, 2.0}) {
        const auto strategy = make_strategy({.name = "self_speculative", .target = target}, n);
        const GenerateResult got = model.decoder().generate(prompts, *strategy, options);
        for (size_t i = 0; i < prompts.size(); ++i) {
          ASSERT_EQ(got.outputs[i].tokens, want[i].tokens) << name << " " << target;
        }
        EXPECT_GT(got.timings.drafted, 0);
        if (target == 1.0) {
          EXPECT_EQ(got.timings.accepted, got.timings.drafted) << name;
        }
      }
    }
  }
}

// softmax(logit / temperature) of the `top_k` best, for the token behind `prompt`.
std::map<int32_t, double> distribution(LoadedDecoder& model, const SkipStrategy& strategy,
                                       const TokenIds& prompt, size_t prompt_tokens,
                                       const Sampling& sampling) {
  std::vector<ScoreRequest> requests;
  const TokenIds head(prompt.begin(), prompt.begin() + static_cast<ptrdiff_t>(prompt_tokens));
  for (int32_t token = 0; token < model.loaded().config.vocab_size; ++token) {
    TokenIds rest(prompt.begin() + static_cast<ptrdiff_t>(prompt_tokens), prompt.end());
    rest.push_back(token);
    requests.push_back({head, rest});
  }
  std::vector<std::pair<double, int32_t>> scores;
  for (const ScoreOutput& output : model.decoder().score(requests, strategy)) {
    scores.emplace_back(output.log_probs.back(), static_cast<int32_t>(scores.size()));
  }
  std::sort(scores.rbegin(), scores.rend());
  scores.resize(static_cast<size_t>(sampling.top_k));
  std::map<int32_t, double> p;
  double sum = 0;
  for (const auto& [score, token] : scores)
    sum += p[token] = std::exp(score / sampling.temperature);
  for (auto& [token, share] : p) share /= sum;
  return p;
}

// Pairs of tokens, of 4,000 texts with one prompt; the probabilities are those that score says.
TEST(Sampling, PairsOfTokensFollowTheModel) {
  LoadedDecoder model(path_of("bloom-7layers"), {.threads = 2});
  const Sampling sampling{.temperature = 4, .top_k = 3, .seed = 12};
  const TokenIds prompt = {5, 17, 2};
  for (const char* name : {"full", "unified", "self_speculative"}) {
    const bool skips = std::string(name) == "unified";
    const auto strategy = make_strategy({.name = name, .target = 2}, model.num_layers());
    const auto scored =
        make_strategy({.name = skips ? name : "full", .target = 2}, model.num_layers());
    std::map<std::pair<int32_t, int32_t>, double> want;
    for (const auto& [first, p] : distribution(model, *scored, prompt, 3, sampling)) {
      TokenIds longer = prompt;
      longer.push_back(first);
      for (const auto& [second, q] : distribution(model, *scored, longer, 3, sampling)) {
        want[{first, second}] = p * q;
      }
    }
    constexpr int kTexts = 4000, kBatch = 250;
    std::map<std::pair<int32_t, int32_t>, double> count;
    GenerateOptions options{.max_new_tokens = 3, .sampling = sampling};
    for (options.first_text = 0; options.first_text < kTexts; options.first_text += kBatch) {
      const std::vector<TokenIds> prompts(kBatch, prompt);
      for (const auto& output : model.decoder().generate(prompts, *strategy, options).outputs) {
        ++count[{output.tokens[0], output.tokens[1]}];
      }
    }
    double chi_squared = 0;
    for (const auto& [pair, p] : want) {
      chi_squared += std::pow(count[pair] - kTexts * p, 2) / (kTexts * p);
    }
    EXPECT_EQ(count.size(), want.size()) << name;
    EXPECT_LT(chi_squared, 31.8) << name;  // p = 1e-4 at 8 degrees of freedom
  }
}

TEST(Sampling, RangesAreChecked) {
  LoadedDecoder model(path_of("llama-untied"), {.threads = 1});
  const auto full = make_strategy({.name = "full"}, model.num_layers());
  const std::vector<TokenIds> prompts = {{1, 2}};
  for (const Sampling& sampling :
       {Sampling{-1, 0, 0}, Sampling{NAN, 0, 0}, Sampling{1e-9, 0, 0}, Sampling{INFINITY, 0, 0},
        Sampling{1, -1, 0}, Sampling{0, 5, 0}}) {
    const GenerateOptions options{.max_new_tokens = 2, .sampling = sampling};
    EXPECT_THROW(model.decoder().generate(prompts, *full, options), Error)
        << sampling.temperature << " " << sampling.top_k;
  }
}

class SamplingOn : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { skip_without(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(, SamplingOn, testing::Values("emulated", "cuda"),
                         [](const testing::TestParamInfo<std::string>& test) {
                           return test.param;
                         });

// Queued, recorded, replayed, and by the host; then with another seed, which is no replay of the
// first one's steps.
TEST_P(SamplingOn, TheDeviceDrawsWhatTheCpuDraws) {
  LoadedDecoder cpu(path_of("llama-untied"), {.threads = 1});
  LoadedDecoder device(path_of("llama-untied"), {.device = GetParam()});
  const auto prompts = ragged_prompts(5, 61);
  for (const StrategySpec& spec : std::vector<StrategySpec>{
           {.name = "full"},
           {.name = "unified", .target = 1.5},
           {.name = "early_exit", .target = 2, .params = {{"threshold", {"0.05", ""}}}}}) {
    const auto strategy = make_strategy(spec, device.num_layers());
    for (int round = 0; round < 5; ++round) {
      GenerateOptions options{.max_new_tokens = 4,
                              .sampling = {.temperature = 5, .top_k = 6, .seed = 1},
                              .first_text = 100};
      if (round == 4) options.sampling.seed = 2;
      const auto want = cpu.decoder().generate(prompts, *strategy, options).outputs;
      options.record_steps = round != 3;
      const auto got = device.decoder().generate(prompts, *strategy, options).outputs;
      for (size_t i = 0; i < prompts.size(); ++i) {
        EXPECT_EQ(got[i].tokens, want[i].tokens) << spec.name << ", round " << round;
        EXPECT_EQ(got[i].layers_per_token, want[i].layers_per_token) << spec.name;
      }
    }
  }
}

}  // namespace
}  // namespace skipbench
