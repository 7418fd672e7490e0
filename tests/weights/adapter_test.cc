// LoRA adapters: exact sums on small numbers, and every way in which a folder can be wrong. Whole
// models are in tests/model/adapter_test.cc.
#include "engine/weights/adapter.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "engine/base/error.h"
#include "engine/weights/dequantise.h"
#include "engine/weights/load.h"
#include "tests/weights/model_writer.h"

namespace skipbench {
namespace {

using test::cell;
using test::safetensors_bytes;
using test::TempFolder;
using test::Tensor;
using test::TinyShape;

constexpr int kRank = 2;
const std::string kModule = "base_model.model.model.layers.1.mlp.down_proj";

std::string adapter_config(const std::string& extra = "") {
  return R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, )" + extra + R"("bias": "none"})";
}

std::vector<Tensor> down_factors(const TinyShape& s) {
  return {{kModule + ".lora_A.weight", {kRank, s.intermediate}},
          {kModule + ".lora_B.weight", {s.hidden, kRank}}};
}

// A Llama folder "model" and an adapter folder "adapter" inside one temporary folder.
class AdapterTest : public testing::Test {
 protected:
  std::string write_model(DType type = DType::kF32) const {
    std::filesystem::create_directories(folder_.path("model"));
    folder_.write("model/config.json", test::llama_config(shape_, "llama"));
    folder_.write("model/model.safetensors", safetensors_bytes(test::llama_tensors(
                                                 shape_, false, false, false, false, true, type)));
    return folder_.path("model");
  }

  std::string write_adapter(const std::string& config, const std::string& tensors) const {
    std::filesystem::create_directories(folder_.path("adapter"));
    folder_.write("adapter/adapter_config.json", config);
    folder_.write("adapter/adapter_model.safetensors", tensors);
    return folder_.path("adapter");
  }

  // The message of the Error that merging throws.
  std::string error_of(const std::string& config, const std::string& tensors) const {
    const std::string model = write_model();
    const std::string adapter = write_adapter(config, tensors);
    try {
      load_model(model, adapter);
    } catch (const Error& error) {
      return error.what();
    }
    ADD_FAILURE() << "merged: " << config;
    return "";
  }

  TinyShape shape_;
  TempFolder folder_;
};

TEST_F(AdapterTest, AddsTheScaledProductInEveryPlainType) {
  for (const auto& [extra, scale] :
       {std::pair<std::string, double>{"", 2.0}, {R"("use_rslora": true, )", 4 / std::sqrt(2.0)}}) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const std::string adapter =
          write_adapter(adapter_config(extra), safetensors_bytes(down_factors(shape_)));
      const LoadedModel model = load_model(write_model(type), adapter);
      const Weight& down = model.weights.layers.at(1).down.parts.at(0);
      ASSERT_EQ(down.type, type);
      Vector row(static_cast<size_t>(down.cols));
      for (int64_t r = 0; r < down.rows; ++r) {
        row_to_floats(down, r, row);
        for (int64_t c = 0; c < down.cols; ++c) {
          double sum = 0;
          for (int k = 0; k < kRank; ++k) {
            sum += double{cell(kModule + ".lora_B.weight", r * kRank + k)} *
                   cell(kModule + ".lora_A.weight", k * down.cols + c);
          }
          const auto want = static_cast<float>(
              cell("model.layers.1.mlp.down_proj.weight", r * down.cols + c) + scale * sum);
          const float stored = type == DType::kF32   ? want
                               : type == DType::kF16 ? f16_to_f32(f32_to_f16(want))
                                                     : bf16_to_f32(f32_to_bf16(want));
          // The square root is rounded; everything else is exact.
          ASSERT_NEAR(row[c], stored, extra.empty() ? 0 : std::abs(stored) * 0.01 + 1e-5)
              << dtype_name(type) << " row " << r << ", column " << c;
        }
      }
    }
  }
}

TEST_F(AdapterTest, LeavesOtherMatricesInTheFile) {
  const std::string path = write_model();
  const LoadedModel plain = load_model(path);
  const LoadedModel model =
      load_model(path, write_adapter(adapter_config(), safetensors_bytes(down_factors(shape_))));
  EXPECT_EQ(model.storage.size(), plain.storage.size() + 1);
  const auto same = [](const Weight& a, const Weight& b) {
    return a.bytes() == b.bytes() &&
           std::memcmp(a.data, b.data, static_cast<size_t>(a.bytes())) == 0;
  };
  const auto& [one, other] = std::tie(plain.weights.layers, model.weights.layers);
  EXPECT_TRUE(same(one[0].down.parts[0], other[0].down.parts[0]));
  EXPECT_TRUE(same(one[1].up.parts[1], other[1].up.parts[1]));
  EXPECT_FALSE(same(one[1].down.parts[0], other[1].down.parts[0]));
}

// Blocks written out by hand: 32 weights each.
TEST(Dequantise, BlockTypesAsTheirFormatSays) {
  const auto half = [](float value) {
    const uint16_t bits = f32_to_f16(value);
    return std::string(reinterpret_cast<const char*>(&bits), sizeof(bits));
  };
  std::string nibbles, bytes;
  for (int i = 0; i < 16; ++i) nibbles += static_cast<char>(i | (15 - i) << 4);
  for (int i = 0; i < 32; ++i) bytes += static_cast<char>(i - 16);
  const std::pair<DType, std::string> blocks[] = {{DType::kQ4_0, half(0.5f) + nibbles},
                                                  {DType::kQ4_1, half(0.25f) + half(3) + nibbles},
                                                  {DType::kQ8_0, half(2) + bytes}};
  for (const auto& [type, block] : blocks) {
    const std::string rows = std::string(block.size(), '\x7f') + block;
    const Weight weight{.name = "w",
                        .type = type,
                        .rows = 2,
                        .cols = 32,
                        .data = reinterpret_cast<const std::byte*>(rows.data())};
    Vector row(32);
    row_to_floats(weight, 1, row);
    for (int i = 0; i < 32; ++i) {
      const int nibble = i < 16 ? i : 15 - (i - 16);
      const double want = type == DType::kQ4_0   ? 0.5 * (nibble - 8)
                          : type == DType::kQ4_1 ? 0.25 * nibble + 3
                                                 : 2.0 * (i - 16);
      EXPECT_EQ(row[i], want) << dtype_name(type) << " element " << i;
    }
  }
}

TEST_F(AdapterTest, RefusesWhatItDoesNotRead) {
  const std::string tensors = safetensors_bytes(down_factors(shape_));
  const std::pair<std::string, std::string> cases[] = {
      {R"({"peft_type": "LOHA", "r": 2, "lora_alpha": 4})", "not a LoRA adapter"},
      {R"({"r": 2, "lora_alpha": 4})", "not a LoRA adapter"},
      {R"({"peft_type": "LORA", "lora_alpha": 4})", "bad rank"},
      {R"({"peft_type": "LORA", "r": 0, "lora_alpha": 4})", "bad rank"},
      {R"({"peft_type": "LORA", "r": 1099511627776, "lora_alpha": 4})", "bad rank"},
      {R"({"peft_type": "LORA", "r": 2})", "no lora_alpha"},
      {R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "all"})", "biases"},
      {adapter_config(R"("use_dora": true, )"), "use_dora"},
      {adapter_config(R"("fan_in_fan_out": true, )"), "fan_in_fan_out"},
      {adapter_config(R"("modules_to_save": ["lm_head"], )"), "modules_to_save"},
      {adapter_config(R"("rank_pattern": {"q_proj": 3}, )"), "rank_pattern"},
      {adapter_config(R"("corda_config": {"x": 1}, )"), "corda_config"},
      {adapter_config(R"("init_lora_weights": "pissa", )"), "changed base weights"},
      {"[]", "adapter_config.json"},
      {"{", "adapter_config.json"},
  };
  for (const auto& [config, part] : cases) {
    const std::string message = error_of(config, tensors);
    EXPECT_NE(message.find(part), message.npos) << config << "\n" << message;
    EXPECT_NE(message.find("adapter_config.json"), message.npos) << message;
  }
}

TEST_F(AdapterTest, RefusesTensorsThatDoNotFit) {
  const std::vector<Tensor> good = down_factors(shape_);
  std::vector<Tensor> wrong_rank = good, wrong_rows = good, alone = good, more = good;
  wrong_rank[0].shape = {kRank + 1, shape_.intermediate};
  wrong_rows[1].shape = {shape_.hidden + 1, kRank};
  alone.pop_back();
  more.push_back({"base_model.model.model.layers.2.mlp.down_proj.lora_A.weight", {2, 2}});
  const std::pair<std::vector<Tensor>, std::string> cases[] = {
      {wrong_rank, "wrong shape"}, {wrong_rows, "wrong shape"}, {alone, "is missing"},
      {more, "does not use"},      {{}, "changes no matrix"},
  };
  for (const auto& [tensors, part] : cases) {
    const std::string message = error_of(adapter_config(), safetensors_bytes(tensors));
    EXPECT_NE(message.find(part), message.npos) << message;
    EXPECT_NE(message.find("adapter_model.safetensors"), message.npos) << message;
  }
}

// Infinity would silence the whole model: in f32, and where f16 alone cannot hold the sum.
TEST_F(AdapterTest, RefusesWeightsThatAreNotFinite) {
  const auto config = [](const char* alpha) {
    return fmt::format(R"({{"peft_type": "LORA", "r": 2, "lora_alpha": {}, "bias": "none"}})",
                       alpha);
  };
  const std::string tensors = safetensors_bytes(down_factors(shape_));
  for (const auto& [type, alpha] : {std::pair{DType::kF32, "1e39"}, {DType::kF16, "1e9"}}) {
    const std::string adapter = write_adapter(config(alpha), tensors);
    const std::string model = write_model(type);
    try {
      load_model(model, adapter);
      ADD_FAILURE() << "merged: " << alpha;
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find("not finite"), message.npos) << message;
      EXPECT_NE(message.find("layers.1.mlp.down_proj"), message.npos) << message;
    }
  }
  EXPECT_NO_THROW(load_model(write_model(DType::kF32), write_adapter(config("1e9"), tensors)));
}

TEST_F(AdapterTest, AFolderWithoutAdapterIsNamed) {
  const std::string model = write_model();
  for (const std::string& folder : {folder_.path("nowhere"), model}) {
    try {
      load_model(model, folder);
      ADD_FAILURE() << folder;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(folder), std::string::npos);
      EXPECT_NE(std::string(error.what()).find("no such adapter"), std::string::npos);
    }
  }
}

// Cut anywhere, and with any byte of its header changed: an Error or a model, never a crash.
TEST_F(AdapterTest, DamagedFilesNeverCrash) {
  const std::string model = write_model();
  const std::string good = safetensors_bytes(down_factors(shape_));
  int refused = 0;
  const auto attempt = [&](const std::string& bytes) {
    const std::string adapter = write_adapter(adapter_config(), bytes);
    try {
      load_model(model, adapter);
    } catch (const Error&) {
      ++refused;
    }
  };
  for (size_t size = 0; size < good.size(); size += 7) attempt(good.substr(0, size));
  EXPECT_EQ(refused, static_cast<int>((good.size() + 6) / 7));
  for (size_t i = 0; i < std::min<size_t>(good.size(), 300); ++i) {
    std::string bytes = good;
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << i % 8));
    attempt(bytes);
  }
}

}  // namespace
}  // namespace skipbench
