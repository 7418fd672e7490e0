// Metrics of responses: perplexity, KL to `full` and agreement with it, against fixtures in double
// precision and the decoder's own log-probabilities.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "eval/metrics/response_metrics.h"
#include "eval/probe/divergence.h"
#include "tests/eval/sweep_fixture.h"
#include "tests/model/fixtures.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

TEST(ResponseMetrics, AreMeansOverTokens) {
  const std::vector<ResponseScore> responses = {{.tokens = 3, .nll = 6, .kl = 0.5, .agreeing = 2},
                                                {},  // an empty reference
                                                {.tokens = 1, .nll = 2, .kl = 1.5, .agreeing = 1}};
  const SegmentStats stats = response_statistics(responses);
  const auto score = [&](const std::string& name) {
    return make_sweep_metric(name, {}, "")->scores(stats.sum()).at(0);
  };
  EXPECT_NEAR(score("perplexity").score, std::exp(2.0), 1e-12);
  EXPECT_EQ(score("kl").score, 0.5);
  EXPECT_EQ(score("top1").score, 75);
  EXPECT_TRUE(make_sweep_metric("top1", {}, "")->higher_is_better());
  EXPECT_FALSE(make_sweep_metric("kl", {}, "")->higher_is_better());
  const auto metric = make_sweep_metric("kl", {{"prefix", " a|b:"}}, "");
  EXPECT_NE(format_signature(metric->settings()).find("prefix:%20a%7cb%3a|"), std::string::npos);
  EXPECT_THROW(make_sweep_metric("perplexity", {{"prefixes", "x"}}, ""), Error);
  EXPECT_NE(message_of([] { make_metric("perplexity", {}, "--metric"); }).find("sweep"),
            std::string::npos);
  EXPECT_NE(message_of([] { make_sweep_metric("perplexit", {}, ""); }).find("perplexity"),
            std::string::npos);
}

// The same fixtures as the drift per step, as sums, and summed up over a text's steps instead.
TEST(ResponseMetrics, SumsAreTheReferences) {
  int compared = 0;
  for (const char* name : {"bloom-7layers", "qwen3"}) {
    std::ifstream file(fixtures_folder() / "probe" / (std::string(name) + ".json"));
    const Json fixture = Json::parse(file);
    LoadedDecoder loaded((fixtures_folder() / fixture["model"].get<std::string>()).string(),
                         {.threads = 2});
    Model& model = loaded.decoder().model();
    const std::vector<ScoreRequest> requests = requests_of(fixture);
    size_t longest = 0;
    for (const ScoreRequest& request : requests) {
      longest = std::max(longest, request.continuation.size());
    }
    for (const Json& one : fixture["divergence"]) {
      const auto strategy = make_strategy(spec_of(one), loaded.num_layers());
      const BatchDivergence found = measure_batch_divergence({model, model}, *strategy, requests);
      const auto log_probs = loaded.decoder().score(requests, *strategy);
      for (size_t i = 0; i < requests.size(); ++i) {
        double nll = 0;
        for (const double value : log_probs[i].log_probs) nll -= value;
        EXPECT_EQ(found.texts[i].tokens, std::ssize(requests[i].continuation));
        EXPECT_NEAR(found.texts[i].nll, nll, 1e-4 * std::max(1.0, nll));
      }
      if (one["steps"].size() != longest) continue;  // the fixture stops earlier
      ++compared;
      double kl = 0, agreeing = 0, want_kl = 0, want_agreeing = 0;
      int64_t tokens = 0;
      ASSERT_EQ(found.steps.size(), longest);
      for (size_t step = 0; step < longest; ++step) {
        const Json& want = one["steps"][step];
        const StepSums& got = found.steps[step];
        const auto texts = want["texts"].get<double>();
        EXPECT_EQ(static_cast<double>(got.texts), texts);
        EXPECT_NEAR(got.kl, texts * want["kl"].get<double>(), 1e-3 * texts);
        EXPECT_NEAR(static_cast<double>(got.agreeing), texts * want["top1_agreement"].get<double>(),
                    1e-9);
        for (size_t l = 0; l < static_cast<size_t>(loaded.num_layers()); ++l) {
          const auto cosine = want["cosine"][l].get<double>();
          const auto ratio = want["norm_ratio"][l].get<double>();
          EXPECT_NEAR(got.cosine.at(l), texts * cosine, 1e-4 * texts) << step << ' ' << l;
          EXPECT_NEAR(got.norm_ratio.at(l), texts * ratio, 1e-4 * texts * std::max(1.0, ratio));
        }
        want_kl += texts * want["kl"].get<double>();
        want_agreeing += texts * want["top1_agreement"].get<double>();
      }
      for (const ResponseScore& text : found.texts) {
        kl += text.kl;
        agreeing += static_cast<double>(text.agreeing);
        tokens += text.tokens;
      }
      EXPECT_NEAR(kl, want_kl, 1e-3 * static_cast<double>(tokens));
      EXPECT_NEAR(agreeing, want_agreeing, 1e-6);
    }
  }
  EXPECT_GT(compared, 0);
}

}  // namespace
}  // namespace skipbench
