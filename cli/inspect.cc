// skipbench inspect: what a model file holds, checked, and the memory that a run of it under a
// strategy needs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/options.h"
#include "engine/base/dtype.h"
#include "engine/batch_pass.h"
#include "engine/weights/load.h"
#include "engine/weights/memory_plan.h"

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;

struct InspectOptions {
  std::string model;
  StrategyOptions strategy;
  std::string dtype = "f32";
  int64_t batch = 1;
  int64_t context = 0;  // 0: the model's positions, at most kDefaultContext
  bool frequencies = false;
};

constexpr int64_t kDefaultContext = 2048;

std::string_view activation_name(Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return "silu";
    case Activation::kGeluTanh:
      return "gelu_tanh";
    case Activation::kGeluErf:
      return "gelu_erf";
  }
  return "";
}

Json shape_json(const ModelConfig& config) {
  Json json;
  json["layers"] = config.num_layers;
  json["hidden_size"] = config.hidden_size;
  json["heads"] = config.num_heads;
  json["kv_heads"] = config.num_kv_heads;
  json["head_dim"] = config.head_dim;
  json["intermediate_size"] = config.intermediate_size;
  json["vocab_size"] = config.vocab_size;
  json["max_positions"] = config.max_positions > 0 ? Json(config.max_positions) : Json(nullptr);
  json["norm"] = config.norm == NormKind::kRmsNorm ? "rms_norm" : "layer_norm";
  json["norm_epsilon"] = config.norm_epsilon;
  json["activation"] = activation_name(config.activation);
  json["mlp"] = config.mlp == MlpKind::kGated ? "gated" : "plain";
  json["qk_norm"] = config.qk_norm;
  json["embedding_norm"] = config.embedding_norm;
  json["tied_head"] = config.tied_head;
  const auto& windows = config.attention_window;
  const bool slides = std::any_of(windows.begin(), windows.end(), [](int w) { return w > 0; });
  json["attention_window"] = slides ? Json(windows) : Json(nullptr);
  return json;
}

Json position_json(const ModelConfig& config, bool all_frequencies) {
  if (config.position == PositionKind::kAlibi) return {{"kind", "alibi"}};
  const RopeConfig& rope = config.rope;
  Json json;
  json["kind"] = "rope";
  json["pairs"] = rope.interleaved ? "adjacent" : "halves";
  json["highest_frequency"] = rope.inverse_frequencies.front();
  json["lowest_frequency"] = rope.inverse_frequencies.back();
  if (all_frequencies) json["inverse_frequencies"] = rope.inverse_frequencies;
  json["attention_factor"] = rope.attention_factor;
  return json;
}

Json weights_json(const WeightCount& count) {
  Json types = Json::object();
  for (const auto& [type, of_type] : count.matrices) {
    types[std::string(dtype_name(type))] = {{"tensors", of_type.tensors}, {"bytes", of_type.bytes}};
  }
  return {
      {"bytes", count.bytes},
      {"matrices", std::move(types)},
      {"norms_and_biases", {{"tensors", count.vectors.tensors}, {"bytes", count.vectors.bytes}}}};
}

// The strategy, with a threshold where calibration would find one, and any length of its decay: the
// memory needs neither.
std::unique_ptr<SkipStrategy> strategy_of(const StrategyOptions& options, int num_layers) {
  StrategySpec spec = options.spec();
  layer_budget(num_layers, spec.target);  // refuses a bad target
  if (find_strategy(spec.name).is_dynamic && param_to_calibrate(spec, num_layers)) {
    spec.params["threshold"] = {"1", "inspect"};
  }
  return make_strategy(with_new_tokens(std::move(spec), 1), num_layers);
}

// The plan of `request` for a batch under the strategy: the cache that the decoder will ask for.
Json memory_json(const LoadedModel& model, MemoryRequest request, const StrategyOptions& options) {
  const int num_layers = model.config.num_layers;
  const auto strategy = strategy_of(options, num_layers);
  const KvCacheShape shape = cache_shape(*strategy, num_layers, request.batch, request.context);
  Json without_cache = Json::array();
  request.with_presence = shape.with_presence;
  const LayerSet run = strategy->prefill_layers(num_layers) | strategy->any_step_layers(num_layers);
  for (int layer = 0; layer < num_layers; ++layer) {
    request.layers_kept.push_back(shape.cached.attention(layer));
    request.layers_prefilled.push_back(shape.prefilled.attention(layer));
    request.sublayers_run.push_back(run.attention(layer));
    request.sublayers_run.push_back(run.mlp(layer));
    if (!shape.cached.attention(layer)) without_cache.push_back(layer);
  }
  const MemoryPlan plan = plan_memory(model, request);
  return {{"batch", request.batch},
          {"context", request.context},
          {"dtype", dtype_name(request.dtype)},
          {"strategy", options.name},
          {"target", options.target},
          {"layers_without_cache", std::move(without_cache)},
          {"weight_bytes", plan.weight_bytes},
          {"unused_weight_bytes", plan.unused_weight_bytes},
          {"kv_bytes", plan.kv_bytes},
          {"transient_kv_bytes", plan.transient_kv_bytes},
          {"presence_bytes", plan.presence_bytes},
          {"activation_bytes_estimate", plan.activation_bytes},
          {"total_bytes", plan.total_bytes}};
}

Json inspect(const InspectOptions& options) {
  const DType dtype = parse_activation_dtype(options.dtype, "--dtype");
  const LoadedModel model = load_model(options.model);
  const int64_t limit = model.config.max_positions;
  MemoryRequest request{.batch = options.batch, .context = options.context, .dtype = dtype};
  if (request.context == 0) {
    request.context = limit > 0 ? std::min(limit, kDefaultContext) : kDefaultContext;
  }
  Json memory = memory_json(model, std::move(request), options.strategy);
  const WeightCount count = count_weights(model.weights);
  Json json;
  json["model"] = options.model;
  json["family"] = model.config.family;
  json["parameters"] = count.parameters;
  json["file_bytes"] = model.file_bytes;
  json["hash"] = model_hash(model);
  json["shape"] = shape_json(model.config);
  json["position"] = position_json(model.config, options.frequencies);
  json["weights"] = weights_json(count);
  json["end_of_text_ids"] = model.config.end_of_text_ids;
  json["begin_of_text_id"] =
      model.config.begin_of_text_id >= 0 ? Json(model.config.begin_of_text_id) : Json(nullptr);
  json["memory"] = std::move(memory);
  return json;
}

}  // namespace

void add_inspect(CLI::App& app) {
  const auto options = std::make_shared<InspectOptions>();
  CLI::App* command =
      app.add_subcommand("inspect", "Check a model's files; print shape, weights and memory");
  command
      ->add_option("model,--model", options->model,
                   "Hugging Face folder, GGUF file, or synthetic:CONFIG.json[:seed]")
      ->required();
  command->add_option("-b,--batch", options->batch, "sequences of the memory estimate")
      ->check(whole_number(1, int64_t{1} << 40))
      ->capture_default_str();
  command
      ->add_option("--context", options->context,
                   "positions per sequence (default: the model's, at most 2048)")
      ->check(whole_number(1, int64_t{1} << 40));
  command->add_flag("--frequencies", options->frequencies,
                    "print the angle per position of each rotated pair, after scaling");
  options->strategy.add_to(*command);
  command->add_option("--dtype", options->dtype, "type of activations and cache: f32, f16, bf16")
      ->capture_default_str();
  command->footer(
      "Example:\n  skipbench inspect models/smollm2-135m --batch 8 --context 2048\n"
      "  skipbench inspect models/smollm2-135m --strategy unified --target 5 --batch 8");
  command->callback([options] {
    std::cout << inspect(*options).dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
  });
}

}  // namespace skipbench
