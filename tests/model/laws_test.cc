// The laws that every strategy obeys (docs/architecture.md, "Laws"), over the whole registry.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <list>
#include <set>

#include "tests/model/counting_backend.h"
#include "tests/model/fixtures.h"

namespace skipbench {
namespace {

constexpr int kLayers = 7;

std::string bloom_path() { return (fixtures_folder() / "models" / "bloom-7layers").string(); }

std::vector<ScoreRequest> bloom_requests() { return requests_of(read_case("bloom-7layers")); }

// What a strategy cannot do without. A dynamic one gets a threshold that mixes exits.
StrategySpec spec_of_strategy(const StrategyInfo& info, double target) {
  StrategySpec spec{.name = info.name, .target = target};
  if (info.is_dynamic && target > 1) spec.params["threshold"] = {"0.3", "test"};
  if (info.name == "layers") spec.params["layers"] = {"0-6", "test"};
  if (info.name == "static_pruning") spec.params["order"] = {"5,2,3,1,4", "test"};
  if (info.name == "adaskip") {
    spec.params["early_steps"] = {"2", "test"};
    spec.params["scores"] = {
        R"({"attention": {"similarity": [0.1, 0.9, 0.8, 0.95, 0.7, 0.2, 0.85],
                          "norm_ratio": [1.3, 1.02, 1.1, 1.01, 0.97, 1.2, 1.05]},
            "mlp": {"similarity": [0.2, 0.3, 0.91, 0.96, 0.75, 0.94, 0.4],
                    "norm_ratio": [1.4, 1.2, 1.03, 0.99, 1.1, 1.04, 1.5]},
            "late_share": 0.5})",
        "test"};
  }
  if (info.name == "skip_decode") spec.params["expected_length"] = {"6", "test"};
  return spec;
}

// One spec per strategy and target, and one per parameter that changes what is run or cached.
std::vector<StrategySpec> specs() {
  std::vector<StrategySpec> list;
  for (const StrategyInfo& info : strategy_table()) {
    for (const double target : {1.0, 1.5, 2.0, 3.5}) {
      list.push_back(spec_of_strategy(info, target));
      if (!info.uses_target) break;
    }
  }
  list.push_back({.name = "random", .target = 1.5, .params = {{"per", {"step", ""}}}});
  list.push_back({.name = "random", .target = 2, .params = {{"per", {"step", ""}}}});
  list.push_back(
      {.name = "layers", .params = {{"attention", {"1,5", ""}}, {"mlp", {"0,1,6", ""}}}});
  list.push_back(
      {.name = "layers",
       .params = {{"attention", {"1,5", ""}}, {"mlp", {"0,6", ""}}, {"prefill", {"same", ""}}}});
  list.push_back({.name = "static_pruning",
                  .target = 2,
                  .params = {{"order", {"3,4,5,1", ""}}, {"prefill", {"full", ""}}}});
  list.push_back({.name = "early_exit",
                  .target = 2,
                  .params = {{"threshold", {"0.3", ""}}, {"kv", {"absent", ""}}}});
  for (const char* batch : {"wait", "compact"}) {
    list.push_back(
        {.name = "early_exit",
         .target = 2,
         .params = {
             {"threshold", {"0.9", ""}}, {"signal", {"cosine", ""}}, {"batch", {batch, ""}}}});
    list.push_back({.name = "ffn_skip",
                    .target = 1.5,
                    .params = {{"threshold", {"0.85", ""}}, {"batch", {batch, ""}}}});
  }
  return list;
}

std::string name_of(const StrategySpec& spec) {
  return spec.name + " at " + std::to_string(spec.target);
}

void expect_same_bits(const ScoreOutput& a, const ScoreOutput& b, const std::string& what) {
  ASSERT_EQ(a.log_probs.size(), b.log_probs.size()) << what;
  EXPECT_EQ(
      std::memcmp(a.log_probs.data(), b.log_probs.data(), a.log_probs.size() * sizeof(double)), 0)
      << what;
  EXPECT_EQ(a.layers_per_token, b.layers_per_token) << what;
}

TEST(Laws, SkippingNothingIsBitIdenticalToFull) {
  LoadedDecoder model(bloom_path(), {.threads = 2});
  const auto requests = bloom_requests();
  const auto full = model.decoder().score(requests, *make_strategy({.name = "full"}, kLayers));
  for (const StrategyInfo& info : strategy_table()) {
    const auto at_one = make_strategy(spec_of_strategy(info, 1), kLayers);
    const auto outputs = model.decoder().score(requests, *at_one);
    for (size_t r = 0; r < requests.size(); ++r) expect_same_bits(outputs[r], full[r], info.name);
  }
}

TEST(Laws, ARowAloneInABatchAndAtAnyThreadCountGivesTheSameBits) {
  const auto requests = bloom_requests();
  for (const StrategySpec& spec : specs()) {
    const auto strategy = make_strategy(spec, kLayers);
    LoadedDecoder one_thread(bloom_path(), {.threads = 1});
    const auto batched = one_thread.decoder().score(requests, *strategy);
    for (const int threads : {1, 2, 3}) {
      LoadedDecoder model(bloom_path(), {.threads = threads});
      for (size_t r = 0; r < requests.size(); ++r) {
        const auto alone = model.decoder().score(std::span(requests).subspan(r, 1), *strategy);
        expect_same_bits(alone[0], batched[r], name_of(spec));
      }
    }
  }
}

TEST(Laws, TheRealisedLayersEqualTheDeclaredOnes) {
  LoadedDecoder model(bloom_path(), {.threads = 1});
  for (const StrategySpec& spec : specs()) {
    const auto strategy = make_strategy(spec, kLayers);
    if (strategy->rule() != nullptr) continue;  // decided at run time: the fixtures say which
    for (const ScoreOutput& output : model.decoder().score(bloom_requests(), *strategy)) {
      EXPECT_EQ(output.layers_per_token[0], strategy->prefill_layers(kLayers).layers());
      for (size_t i = 1; i < output.layers_per_token.size(); ++i) {
        EXPECT_EQ(output.layers_per_token[i],
                  strategy->step_layers(kLayers, static_cast<int>(i) - 1).layers())
            << name_of(spec);
      }
    }
  }
}

// The projections that end a layer's attention and its MLP, and how many rows went through them.
struct CountedModel {
  LoadedModel loaded = load_model(bloom_path());
  CountingBackend backend{make_backend({.threads = 1})};
  Model model{loaded, backend};

  int64_t attention(int layer) const {
    return backend.rows_through(loaded.weights.layers[static_cast<size_t>(layer)].attention_output);
  }
  int64_t mlp(int layer) const {
    return backend.rows_through(loaded.weights.layers[static_cast<size_t>(layer)].down);
  }
  int64_t sublayers() const {
    int64_t sum = 0;
    for (int layer = 0; layer < kLayers; ++layer) sum += attention(layer) + mlp(layer);
    return sum;
  }
};

// Sublayers that an output says were run for its text: of the prefill for each token of the prompt.
double sublayers_of(const LayersPerToken& layers, size_t prompt_tokens) {
  double sum = 2 * layers[0] * static_cast<double>(prompt_tokens);
  for (size_t t = 1; t < layers.size(); ++t) sum += 2 * layers[t];
  return sum;
}

// Layer by layer what the backend was asked for is what the strategy declares, a row at a time.
TEST(Laws, TheBackendRunsTheDeclaredLayersAndNoOthers) {
  const auto requests = bloom_requests();
  for (const StrategySpec& spec : specs()) {
    const auto strategy = make_strategy(spec, kLayers);
    if (strategy->rule() != nullptr) continue;
    std::vector<int64_t> attention(kLayers), mlp(kLayers);
    const auto add = [&](const LayerSet& set, size_t rows) {
      for (int layer = 0; layer < kLayers; ++layer) {
        attention[layer] += set.attention(layer) ? static_cast<int64_t>(rows) : 0;
        mlp[layer] += set.mlp(layer) ? static_cast<int64_t>(rows) : 0;
      }
    };
    for (const ScoreRequest& request : requests) {
      add(strategy->prefill_layers(kLayers), request.prompt.size());
      for (size_t step = 0; step + 1 < request.continuation.size(); ++step) {
        add(strategy->step_layers(kLayers, static_cast<int>(step)), 1);
      }
    }
    CountedModel counted;
    Decoder(counted.model).score(requests, *strategy);
    for (int layer = 0; layer < kLayers; ++layer) {
      EXPECT_EQ(counted.attention(layer), attention[layer]) << name_of(spec) << ", " << layer;
      EXPECT_EQ(counted.mlp(layer), mlp[layer]) << name_of(spec) << ", " << layer;
    }
  }
}

// The same for rules, in sum: only where rows wait for their batch does the backend run more.
TEST(Laws, TheRealisedLayersAreWhatTheBackendRan) {
  const auto requests = bloom_requests();
  for (const StrategySpec& spec : specs()) {
    const auto strategy = make_strategy(spec, kLayers);
    CountedModel counted;
    const auto outputs = Decoder(counted.model).score(requests, *strategy);
    double realised = 0;
    for (size_t r = 0; r < requests.size(); ++r) {
      realised += sublayers_of(outputs[r].layers_per_token, requests[r].prompt.size());
    }
    const auto ran = static_cast<double>(counted.sublayers());
    const SkipRule* rule = strategy->rule();
    if (rule != nullptr && rule->rows_done == RowsDone::kWait) {
      EXPECT_LT(realised, ran) << name_of(spec);
    } else {
      EXPECT_EQ(realised, ran) << name_of(spec);
    }
  }
}

// And for texts that are made, drafted or not.
TEST(Laws, TheRealisedLayersOfTextsAreWhatTheBackendRan) {
  const std::vector<TokenIds> prompts = {{1, 2, 3}, {9}, {4, 4, 4, 4, 4, 4, 4, 4, 4}};
  for (const StrategySpec& spec : specs()) {
    const auto strategy = make_strategy(spec, kLayers);
    if (strategy->rule() != nullptr) continue;
    CountedModel counted;
    const auto outputs =
        Decoder(counted.model).generate(prompts, *strategy, {.max_new_tokens = 9}).outputs;
    double realised = 0;
    for (size_t i = 0; i < prompts.size(); ++i) {
      realised += sublayers_of(outputs[i].layers_per_token, prompts[i].size());
    }
    EXPECT_NEAR(realised, static_cast<double>(counted.sublayers()), 1e-9 * realised)
        << name_of(spec);
  }
}

TEST(Laws, TheSameRunTwiceGivesTheSameTokens) {
  const std::vector<TokenIds> prompts = {{1, 2, 3}, {9}, {4, 4, 4, 4, 4, 4, 4, 4, 4}};
  for (const StrategySpec& spec : specs()) {
    const auto strategy = make_strategy(spec, kLayers);
    std::vector<std::vector<GenerateOutput>> runs;
    for (int run = 0; run < 2; ++run) {
      LoadedDecoder model(bloom_path(), {.threads = 2});
      runs.push_back(model.decoder().generate(prompts, *strategy, {.max_new_tokens = 12}).outputs);
    }
    for (size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(runs[0][i].tokens, runs[1][i].tokens) << name_of(spec);
      EXPECT_EQ(runs[0][i].layers_per_token, runs[1][i].layers_per_token) << name_of(spec);
    }
  }
}

// A copy of a model's weights that may be overwritten.
class OwnedLayers {
 public:
  explicit OwnedLayers(LoadedModel& model) : model_(model) {
    for (LayerWeights& layer : model.weights.layers) {
      for (Projection* projection : {&layer.qkv, &layer.attention_output, &layer.up, &layer.down}) {
        for (Weight& part : projection->parts) {
          auto& copy = copies_.emplace_back(part.data, part.data + part.bytes());
          part.data = copy.data();
        }
      }
    }
  }

  // What the layers of `read` do not run.
  void poison_unread(const LayerSet& read) {
    for (int layer = 0; layer < read.num_layers(); ++layer) {
      const LayerWeights& weights = model_.weights.layers[static_cast<size_t>(layer)];
      std::set<const Projection*> keep;
      if (read.attention(layer)) keep = {&weights.qkv, &weights.attention_output};
      if (read.mlp(layer)) keep.insert({&weights.up, &weights.down});
      poison(layer, keep);
    }
  }

  // f32 only. `keep`: matrices of the layer that stay readable, each with its norm.
  void poison(int layer, const std::set<const Projection*>& keep) {
    LayerWeights& weights = model_.weights.layers[static_cast<size_t>(layer)];
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (Projection* projection :
         {&weights.qkv, &weights.attention_output, &weights.up, &weights.down}) {
      if (keep.contains(projection)) continue;
      for (Weight& part : projection->parts) {
        ASSERT_EQ(part.type, DType::kF32);
        auto* values = reinterpret_cast<float*>(const_cast<std::byte*>(part.data));
        std::fill_n(values, part.rows * part.cols, nan);
      }
    }
    for (NormWeights* norm : {&weights.attention_norm, &weights.mlp_norm}) {
      if (norm == &weights.attention_norm && keep.contains(&weights.qkv)) continue;
      if (norm == &weights.mlp_norm && keep.contains(&weights.up)) continue;
      std::fill(norm->gain.begin(), norm->gain.end(), nan);
    }
  }

 private:
  LoadedModel& model_;
  std::list<std::vector<std::byte>> copies_;
};

// After the prefill, weights of layers that no decoding step runs may be anything.
TEST(Laws, LayersThatDecodingSkipsAreNotReadAfterThePrefill) {
  const auto requests = bloom_requests();
  for (const StrategySpec& spec : specs()) {
    const auto strategy = make_strategy(spec, kLayers);
    if (strategy->rule() != nullptr) continue;
    LoadedDecoder clean(bloom_path(), {.threads = 1});
    const auto want = clean.decoder().score(requests, *strategy);

    LoadedModel loaded = load_model(bloom_path());
    OwnedLayers owned(loaded);
    const auto backend = make_backend({.threads = 1});
    Model model(loaded, *backend);
    const LayerSet read = strategy->any_step_layers(kLayers);
    const auto poison = [&] { owned.poison_unread(read); };
    const auto got = Decoder(model).score(requests, *strategy, {.after_prefill = poison});
    for (size_t r = 0; r < requests.size(); ++r) expect_same_bits(got[r], want[r], name_of(spec));
  }
}

// Weights of layers that neither prompts nor steps run may be anything from the start, and such
// layers have no cache.
TEST(Laws, LayersThatNothingRunsAreNeverRead) {
  const auto requests = bloom_requests();
  int poisoned = 0;
  for (const StrategySpec& spec : specs()) {
    const auto strategy = make_strategy(spec, kLayers);
    if (strategy->rule() != nullptr) continue;
    const LayerSet read = strategy->prefill_layers(kLayers) | strategy->any_step_layers(kLayers);
    LoadedDecoder clean(bloom_path(), {.threads = 1});
    const auto want = clean.decoder().score(requests, *strategy);
    LoadedModel loaded = load_model(bloom_path());
    OwnedLayers owned(loaded);
    owned.poison_unread(read);
    for (int layer = 0; layer < kLayers; ++layer) poisoned += read.any(layer) ? 0 : 1;
    const auto backend = make_backend({.threads = 1});
    Model model(loaded, *backend);
    const auto got = Decoder(model).score(requests, *strategy);
    for (size_t r = 0; r < requests.size(); ++r) expect_same_bits(got[r], want[r], name_of(spec));
  }
  EXPECT_GT(poisoned, 8);
}

// A token that exits at layer 2 leaves only keys and values above: all else may be anything.
TEST(Laws, AboveTheExitOnlyKeyAndValueProjectionsAreRead) {
  const auto requests = bloom_requests();
  for (const std::string kv : {"project", "absent"}) {
    const StrategySpec spec{.name = "early_exit",
                            .target = 2,
                            .params = {{"threshold", {"0", ""}},  // exits wherever it is tested
                                       {"min_layer", {"3", ""}},
                                       {"kv", {kv, ""}}}};
    const auto strategy = make_strategy(spec, kLayers);
    LoadedDecoder clean(bloom_path(), {.threads = 1});
    const auto want = clean.decoder().score(requests, *strategy);

    LoadedModel loaded = load_model(bloom_path());
    OwnedLayers owned(loaded);
    const auto backend = make_backend({.threads = 1});
    Model model(loaded, *backend);
    const auto poison = [&] {
      for (int layer = 3; layer < kLayers; ++layer) {
        const Projection& qkv = loaded.weights.layers[static_cast<size_t>(layer)].qkv;
        owned.poison(layer, kv == "project" ? std::set{&qkv} : std::set<const Projection*>{});
      }
    };
    const auto got = Decoder(model).score(requests, *strategy, {.after_prefill = poison});
    for (size_t r = 0; r < requests.size(); ++r) expect_same_bits(got[r], want[r], kv);
  }
}

// The same for MLPs: with the least threshold the first that may be skipped is the last to run.
TEST(Laws, SkippedMlpsAreNotRead) {
  const auto requests = bloom_requests();
  const StrategySpec spec{.name = "ffn_skip",
                          .target = 1.5,
                          .params = {{"threshold", {"0", ""}}, {"first_layers", {"2", ""}}}};
  const auto strategy = make_strategy(spec, kLayers);
  LoadedDecoder clean(bloom_path(), {.threads = 1});
  const auto want = clean.decoder().score(requests, *strategy);

  LoadedModel loaded = load_model(bloom_path());
  OwnedLayers owned(loaded);
  const auto backend = make_backend({.threads = 1});
  Model model(loaded, *backend);
  LayerSet read = LayerSet::all(kLayers);
  for (const int layer : {3, 4, 5}) read.set_mlp(layer, false);
  const auto poison = [&] { owned.poison_unread(read); };
  const auto got = Decoder(model).score(requests, *strategy, {.after_prefill = poison});
  for (size_t r = 0; r < requests.size(); ++r) {
    expect_same_bits(got[r], want[r], "ffn_skip");
    for (size_t t = 1; t < got[r].layers_per_token.size(); ++t) {
      EXPECT_EQ(got[r].layers_per_token[t], 5.5);
    }
  }
}

}  // namespace
}  // namespace skipbench
