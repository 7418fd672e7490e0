#include "engine/weights/synthetic.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/base/error.h"
#include "engine/weights/load.h"
#include "engine/weights/memory_plan.h"
#include "engine/weights/sha256.h"
#include "tests/weights/model_writer.h"

namespace skipbench {
namespace {

using test::llama_config;
using test::TempFolder;
using test::TinyShape;

TEST(SyntheticTest, EveryFamilyAndType) {
  const TempFolder folder;
  TinyShape s;
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "bloom"}) {
    for (const char* dtype : {"float32", "float16", "bfloat16"}) {
      const std::string extra = fmt::format("\"torch_dtype\": \"{}\",", dtype);
      folder.write("config.json", std::string(family) == "bloom" ? test::bloom_config(s, extra)
                                                                 : llama_config(s, family, extra));
      const LoadedModel model = load_model("synthetic:" + folder.path("config.json"));
      EXPECT_EQ(model.config.family, family);
      EXPECT_EQ(model.file_bytes, 0);
      EXPECT_EQ(model.weights.layers.size(), 2u);
      EXPECT_EQ(bytes_of(model.weights.embedding.type, 1), dtype[5] == '3' ? 4 : 2);
      EXPECT_EQ(model.weights.final_norm.gain, Vector(s.hidden, 1.0f));
    }
  }
}

TEST(SyntheticTest, SameSeedSameBits) {
  const TempFolder folder;
  const std::string path = folder.write("c.json", llama_config(TinyShape(), "llama"));
  const auto hash = [](const std::string& spec) { return model_hash(load_model(spec)); };
  EXPECT_EQ(hash("synthetic:" + path), hash("synthetic:" + path + ":0"));
  EXPECT_EQ(hash("synthetic:" + path + ":7"), hash("synthetic:" + path + ":7"));
  EXPECT_NE(hash("synthetic:" + path + ":7"), hash("synthetic:" + path + ":8"));
  // Pinned bits: the generator is part of what a stored result means.
  const LoadedModel model = load_model("synthetic:" + path + ":7");
  const auto* bytes = model.weights.embedding.data;
  float first[3];
  std::memcpy(first, bytes, sizeof(first));
  EXPECT_EQ(fmt::format("{:a} {:a} {:a}", first[0], first[1], first[2]),
            "0x1.378ffep-3 0x1.9b25fep-2 0x1.71dbfep-3");
}

TEST(SyntheticTest, LargeMatrixHasTheStatedDistributionOnEveryThread) {
  SyntheticTensors tensors(DType::kF32, 8, 3);
  const int64_t rows = 3001, cols = 1000;  // several threads where the machine has them
  const Weight plain = tensors.matrix("x.q_proj.weight", rows, cols);
  const Weight residual = tensors.matrix("x.o_proj.weight", rows, cols);
  for (const auto& [weight, want] :
       {std::pair(plain, 1 / std::sqrt(1000.0)), std::pair(residual, 1 / std::sqrt(16000.0))}) {
    const Vector values = to_floats(weight.type, weight.data, rows * cols);
    double sum = 0, squares = 0;
    for (const float v : values) {
      sum += v;
      squares += static_cast<double>(v) * v;
    }
    const double n = static_cast<double>(rows * cols);
    EXPECT_NEAR(sum / n, 0, 5 * want / std::sqrt(n));
    // The sample deviation of n values strays by about want / sqrt(2 n).
    EXPECT_NEAR(std::sqrt(squares / n), want, 5 * want / std::sqrt(2 * n));
  }
  // A prefix does not depend on how much follows it, so neither on the split among threads.
  const Weight small = tensors.matrix("x.q_proj.weight", 5, cols);
  EXPECT_EQ(std::memcmp(small.data, plain.data, small.bytes()), 0);
}

TEST(SyntheticTest, RefusesWhatDoesNotFit) {
  const TempFolder folder;
  TinyShape s{.layers = 256,
              .hidden = 1 << 16,
              .heads = 256,
              .kv_heads = 256,
              .head_dim = 256,
              .intermediate = 1 << 20,
              .vocab = 1000};
  const std::string path = folder.write("c.json", llama_config(s, "llama"));
  EXPECT_NE(test::load_error("synthetic:" + path).find("does not fit into memory"),
            std::string::npos);
}

TEST(MemoryPlanTest, CountsFromShapes) {
  const TempFolder folder;
  const TinyShape s;
  folder.write("config.json", llama_config(s, "llama", "\"max_position_embeddings\": 64,"));
  const LoadedModel model = load_model("synthetic:" + folder.path());
  const int64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
  const int64_t layer = s.hidden * (q + 2 * kv + q + 3 * s.intermediate);
  const int64_t matrices = s.layers * layer + 2 * s.vocab * s.hidden;
  const int64_t norms = (2 * s.layers + 1) * s.hidden;
  const WeightCount count = count_weights(model.weights);
  EXPECT_EQ(count.parameters, matrices + norms);
  EXPECT_EQ(count.bytes, 4 * (matrices + norms));
  EXPECT_EQ(count.matrices.at(DType::kF32).tensors, 7 * s.layers + 2);
  EXPECT_EQ(count.vectors.tensors, 2 * s.layers + 1);

  MemoryRequest request{.batch = 3, .context = 10, .dtype = DType::kF16};
  MemoryPlan plan = plan_memory(model, request);
  EXPECT_EQ(plan.kv_bytes, 3 * 10 * s.layers * 2 * kv * 2);
  EXPECT_EQ(plan.transient_kv_bytes, 0);
  EXPECT_EQ(plan.total_bytes, plan.weight_bytes + plan.kv_bytes + plan.activation_bytes);
  request.layers_kept = {true, false};
  plan = plan_memory(model, request);
  EXPECT_EQ(plan.kv_bytes, 3 * 10 * 1 * 2 * kv * 2);
  EXPECT_EQ(plan.transient_kv_bytes, plan.kv_bytes);

  // Matrices in f32; each sublayer has a norm.
  const int64_t attention = 4 * (s.hidden * (q + 2 * kv + q) + s.hidden);
  const int64_t mlp = 4 * (s.hidden * 3 * s.intermediate + s.hidden);
  EXPECT_EQ(plan.unused_weight_bytes, 0);
  const int64_t all_weights = plan.weight_bytes, total = plan.total_bytes;
  const auto unused = [&](std::vector<bool> run) {
    request.sublayers_run = std::move(run);
    const MemoryPlan of_run = plan_memory(model, request);
    EXPECT_EQ(of_run.weight_bytes, all_weights);
    EXPECT_EQ(of_run.total_bytes, total);
    return of_run.unused_weight_bytes;
  };
  EXPECT_EQ(unused({true, true, true, true}), 0);
  EXPECT_EQ(unused({true, true, false, true}), attention);
  EXPECT_EQ(unused({true, false, true, true}), mlp);
  EXPECT_EQ(unused({true, true, false, false}), attention + mlp);

  EXPECT_THROW(plan_memory(model, {.batch = 0, .context = 1}), Error);
  EXPECT_THROW(plan_memory(model, {.batch = 1, .context = 65}), Error);
  EXPECT_THROW(plan_memory(model, {.batch = int64_t{1} << 62, .context = 64}), Error);
}

TEST(MemoryPlanTest, TiedHeadCountsOnce) {
  const TempFolder folder;
  const TinyShape s;
  folder.write("config.json", llama_config(s, "llama", "\"tie_word_embeddings\": true,"));
  const LoadedModel tied = load_model("synthetic:" + folder.path());
  folder.write("config.json", llama_config(s, "llama"));
  const LoadedModel untied = load_model("synthetic:" + folder.path());
  EXPECT_EQ(count_weights(untied.weights).parameters - count_weights(tied.weights).parameters,
            s.vocab * s.hidden);
}

// Digests of FIPS 180-4's examples and of sha256sum.
TEST(Sha256Test, KnownDigests) {
  const auto digest = [](std::string_view text, size_t piece) {
    Sha256 sha;
    for (size_t at = 0; at < text.size(); at += piece) sha.update(text.substr(at, piece));
    return sha.hex_digest();
  };
  EXPECT_EQ(digest("", 1), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::string million(1000000, 'a');
  for (const size_t piece : {1000000, 64, 63, 65, 1}) {
    EXPECT_EQ(digest(million, piece),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  }
}

}  // namespace
}  // namespace skipbench
