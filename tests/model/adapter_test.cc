// Models with a LoRA adapter, against transformers with the adapter merged by peft
// (tests/fixtures/make_adapters.py).
#include "engine/weights/adapter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "engine/weights/dequantise.h"
#include "tests/model/fixtures.h"

namespace skipbench {
namespace {

std::vector<std::string> adapter_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures_folder() / "adapters")) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

class Adapter : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    folder_ = fixtures_folder() / "adapters" / GetParam();
    std::ifstream(folder_ / "case.json") >> fixture_;
    path_ = (fixtures_folder() / fixture_["model"].get<std::string>()).string();
  }

  std::filesystem::path folder_;
  nlohmann::json fixture_;
  std::string path_;
};

TEST_P(Adapter, LogProbsAreThoseOfPeftsMergedModel) {
  const LoadedModel loaded = load_model(path_, folder_.string());
  const auto backend = make_backend({.threads = 1});
  Model model(loaded, *backend);
  const auto full = make_strategy({.name = "full"}, loaded.config.num_layers);
  const std::vector<ScoreOutput> outputs = Decoder(model).score(requests_of(fixture_), *full);
  const nlohmann::json& want = fixture_["cases"][0]["logprobs"];
  ASSERT_EQ(outputs.size(), want.size());
  for (size_t r = 0; r < outputs.size(); ++r) {
    ASSERT_EQ(outputs[r].log_probs.size(), want[r].size());
    for (size_t i = 0; i < want[r].size(); ++i) {
      EXPECT_NEAR(outputs[r].log_probs[i], want[r][i].get<double>(), 1e-4)
          << "request " << r << ", token " << i;
    }
  }
}

TEST_P(Adapter, TouchedMatricesHaveTheTypeThatTheFixtureNames) {
  const LoadedModel plain = load_model(path_);
  const LoadedModel loaded = load_model(path_, folder_.string());
  EXPECT_NE(model_hash(plain), model_hash(loaded));

  EXPECT_EQ(loaded.weights.embedding.type, plain.weights.embedding.type);
  std::set<std::string_view> types;
  for (const LayerWeights& layer : loaded.weights.layers) {
    types.insert(dtype_name(layer.qkv.parts.front().type));  // every fixture touches some
  }
  EXPECT_TRUE(types.contains(fixture_["kept_as"].get<std::string>()));
}

TEST_P(Adapter, TypesOnlyKeepsTheValues) {
  const LoadedModel plain = load_model(path_);
  LoadedModel loaded = load_model(path_);
  merge_adapter(loaded, folder_.string(), AdapterUse::kTypesOnly);
  for (size_t i = 0; i < plain.weights.layers.size(); ++i) {
    const Weight& before = plain.weights.layers[i].qkv.parts.front();
    const Weight& after = loaded.weights.layers[i].qkv.parts.front();
    EXPECT_EQ(after.type, is_quantised(before.type) ? DType::kF16 : before.type);
    Vector want(static_cast<size_t>(before.cols)), got(want.size());
    for (int64_t row = 0; row < before.rows; ++row) {
      row_to_floats(before, row, want);
      row_to_floats(after, row, got);
      for (size_t k = 0; k < want.size(); ++k) {
        const bool rounds = after.type != before.type;
        ASSERT_EQ(got[k], rounds ? f16_to_f32(f32_to_f16(want[k])) : want[k]);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Adapter, testing::ValuesIn(adapter_names()), fixture_test_name);

}  // namespace
}  // namespace skipbench
