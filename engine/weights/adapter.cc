#include "engine/weights/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include "engine/base/error.h"
#include "engine/weights/assemble.h"
#include "engine/weights/dequantise.h"
#include "engine/weights/json_file.h"
#include "engine/weights/safetensors.h"
#include "engine/weights/tensor_provider.h"

namespace skipbench {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kModulePrefix = "base_model.model.";
constexpr int64_t kMaxRank = 65536;

struct LoraConfig {
  int64_t rank = 0;
  double scale = 0;
};

void refuse_set(const JsonObject& config, const std::string& key) {
  const auto* value = config.find(key);
  if (value == nullptr || (value->is_boolean() && !value->get<bool>())) return;
  if (value->is_structured() && value->empty()) return;
  throw Error({.what = "the adapter uses a variant of LoRA that is not read",
               .where = config.where(key),
               .expected = "absent, null or false"});
}

// Keys under which peft stores variants whose merged weights are not W + scale * B A.
void refuse_variants(const JsonObject& config) {
  if (const std::string type = config.string("peft_type").value_or(""); type != "LORA") {
    throw Error({.what = "not a LoRA adapter",
                 .where = config.where("peft_type"),
                 .expected = "LORA",
                 .got = type.empty() ? "nothing" : type});
  }
  if (const auto bias = config.string("bias"); bias && *bias != "none") {
    throw Error({.what = "trained biases are not read",
                 .where = config.where("bias"),
                 .expected = "none",
                 .got = *bias});
  }
  for (const char* key :
       {"use_dora", "fan_in_fan_out", "lora_bias", "modules_to_save", "rank_pattern",
        "alpha_pattern", "layer_replication", "target_parameters", "trainable_token_indices",
        "use_qalora", "alora_invocation_tokens", "use_bdlora"}) {
    refuse_set(config, key);
  }
  // Each variant with settings of its own has a key like this; these two change no merged weight.
  for (const std::string& key : config.keys()) {
    const bool is_harmless = key == "megatron_config" || key == "eva_config";
    if (key.ends_with("_config") && !is_harmless) refuse_set(config, key);
  }
  // These begin from other base weights than the model's own ("pissa", "olora", "corda", "loftq").
  const auto* start = config.find("init_lora_weights");
  if (start != nullptr && start->is_string() && *start != "gaussian" && *start != "eva") {
    throw Error({.what = "the adapter was trained on changed base weights",
                 .where = config.where("init_lora_weights"),
                 .expected = "true, false, \"gaussian\" or \"eva\"",
                 .got = start->get<std::string>(),
                 .hint = "save it with peft's path_initial_model_for_weight_conversion"});
  }
}

LoraConfig read_config(const std::string& path) {
  const JsonObject config = JsonObject::read(path);
  refuse_variants(config);
  const int64_t rank = config.integer("r").value_or(0);
  if (rank < 1 || rank > kMaxRank) {
    throw Error({.what = "bad rank",
                 .where = config.where("r"),
                 .expected = fmt::format("an integer in [1, {}]", kMaxRank),
                 .got = std::to_string(rank)});
  }
  const auto alpha = config.number("lora_alpha");
  if (!alpha || !std::isfinite(*alpha)) {
    throw Error({.what = "no lora_alpha", .where = config.where("lora_alpha")});
  }
  const bool rank_stabilised = config.boolean("use_rslora").value_or(false);
  const auto r = static_cast<double>(rank);
  return {.rank = rank, .scale = *alpha / (rank_stabilised ? std::sqrt(r) : r)};
}

// Row of transformers' matrix that is row `row` of the engine's: GGUF's converter orders the rows
// of Llama's queries and keys (adjacent rotary pairs) and of BLOOM's fused projection anew.
int64_t row_in_transformers(const ModelConfig& config, const LayerMatrix& matrix, int64_t row) {
  const int64_t head_dim = config.head_dim;
  const int64_t in_head = row % head_dim;
  if (matrix.role == LayerMatrix::Role::kFusedQkv && config.qkv_layout == QkvLayout::kSeparate) {
    const int64_t kind = row / head_dim / config.num_heads;
    const int64_t head = row / head_dim % config.num_heads;
    return (head * 3 + kind) * head_dim + in_head;
  }
  if (matrix.role == LayerMatrix::Role::kQueryOrKey && config.rope.interleaved) {
    return row - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
  }
  return row;
}

void store_row(DType type, std::span<const float> values, std::byte* out) {
  if (type == DType::kF32) {
    std::memcpy(out, values.data(), values.size_bytes());
    return;
  }
  for (const float value : values) {
    const uint16_t bits = type == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
    std::memcpy(out, &bits, sizeof(bits));
    out += sizeof(bits);
  }
}

class Merger {
 public:
  Merger(LoadedModel& model, const LoraConfig& lora, const SafetensorsFile& file, AdapterUse use)
      : model_(model), lora_(lora), file_(file), use_(use), factors_(file) {}

  void merge() {
    int merged = 0;
    for (const LayerMatrix& matrix : layer_matrices(model_.weights, model_.config)) {
      const std::string module = fmt::format("{}{}", kModulePrefix, matrix.name);
      const std::string a = module + ".lora_A.weight";
      const std::string b = module + ".lora_B.weight";
      if (!factors_.has(a) && !factors_.has(b)) continue;
      // A missing one of the two is refused here, with the other shapes.
      add(matrix, factors_.matrix(a, lora_.rank, matrix.weight->cols),
          factors_.matrix(b, matrix.weight->rows, lora_.rank));
      ++merged;
    }
    factors_.refuse_unused([](std::string_view) { return false; });
    if (merged == 0) {
      throw Error({.what = "the adapter changes no matrix", .where = file_.file()->path()});
    }
  }

 private:
  void add(const LayerMatrix& matrix, const Weight& a, const Weight& b) {
    Weight& weight = *matrix.weight;
    if (use_ == AdapterUse::kTypesOnly && !is_quantised(weight.type)) return;
    Weight result = weight;
    if (is_quantised(weight.type)) result.type = DType::kF16;
    const auto buffer = std::make_shared<std::vector<std::byte>>(result.bytes());
    const Vector factors_a = to_floats(a.type, a.data, a.rows * a.cols);
    const Vector factors_b = to_floats(b.type, b.data, b.rows * b.cols);
    const auto scale = use_ == AdapterUse::kMerge ? static_cast<float>(lora_.scale) : 0.0f;
    const int64_t row_bytes = bytes_of(result.type, result.cols);
    Vector values(weight.cols), change(weight.cols);
    for (int64_t row = 0; row < weight.rows; ++row) {
      row_to_floats(weight, row, values);
      std::ranges::fill(change, 0.0f);
      const float* of_row =
          factors_b.data() + row_in_transformers(model_.config, matrix, row) * lora_.rank;
      for (int64_t k = 0; k < lora_.rank; ++k) {
        const float* direction = factors_a.data() + k * weight.cols;
        for (int64_t i = 0; i < weight.cols; ++i) change[i] += of_row[k] * direction[i];
      }
      for (int64_t i = 0; i < weight.cols; ++i) {
        values[i] += scale * change[i];
      }
      check_stored(matrix, result.type, row, values);
      store_row(result.type, values, buffer->data() + row * row_bytes);
    }
    result.data = buffer->data();
    weight = result;
    model_.storage.push_back(buffer);
  }

  // A merged weight that is no number, or too large for its type, would silence the whole model.
  void check_stored(const LayerMatrix& matrix, DType type, int64_t row,
                    const Vector& values) const {
    const auto fits = [type](float value) {
      return std::isfinite(type == DType::kF16 ? f16_to_f32(f32_to_f16(value)) : value);
    };
    const auto bad = std::find_if_not(values.begin(), values.end(), fits);
    if (bad == values.end()) return;
    throw Error({.what = "a weight is not finite once the adapter is merged",
                 .where = fmt::format("{}, {} row {}, column {}", file_.file()->path(), matrix.name,
                                      row, bad - values.begin()),
                 .expected = fmt::format("finite numbers that {} holds", dtype_name(type)),
                 .got = fmt::format("{}", *bad),
                 .hint = "train it again with a lower learning rate"});
  }

  LoadedModel& model_;
  const LoraConfig& lora_;
  const SafetensorsFile& file_;
  AdapterUse use_;
  FileTensors factors_;
};

}  // namespace

void merge_adapter(LoadedModel& model, const std::string& folder, AdapterUse use) {
  const fs::path place(folder);
  const std::string config_path = (place / "adapter_config.json").string();
  const std::string weights_path = (place / "adapter_model.safetensors").string();
  for (const std::string& path : {config_path, weights_path}) {
    std::error_code ignored;
    if (fs::exists(path, ignored)) continue;
    throw Error({.what = "no such adapter",
                 .where = folder,
                 .expected = "a folder with adapter_config.json and adapter_model.safetensors",
                 .got = fmt::format("no {}", fs::path(path).filename().string()),
                 .hint = "recipes/finetune makes adapters"});
  }
  const LoraConfig lora = read_config(config_path);
  const SafetensorsFile file(weights_path);
  Merger(model, lora, file, use).merge();
}

}  // namespace skipbench
