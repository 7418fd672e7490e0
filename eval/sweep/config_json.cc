// The resolved configuration as JSON: what the store keeps of a run.
#include "eval/sweep/config.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

Json files_json(const DataFiles& files) {
  if (!files.jsonl.empty()) {
    return {{"jsonl", files.jsonl},
            {"source_field", files.source_field},
            {"reference_fields", files.reference_fields}};
  }
  if (!files.tsv.empty()) {
    return {{"tsv", files.tsv},
            {"source_field", files.source_field},
            {"reference_fields", files.reference_fields}};
  }
  return {{"source", files.source}, {"reference", files.references}};
}

Json metrics_json(const std::vector<MetricSpec>& metrics) {
  Json list = Json::array();
  for (const MetricSpec& metric : metrics) list.push_back({{metric.name, Json(metric.options)}});
  return list;
}

Json dataset_json(const DatasetSection& dataset) {
  Json json = files_json(dataset.files);
  json["name"] = dataset.name;
  json["task"] = dataset.task;
  json["language"] = dataset.language;
  json["limit"] = dataset.limit;
  json["prompt"] = dataset.prompt;
  json["instruction"] = dataset.instruction;
  json["chat_template"] = dataset.chat_template;
  json["system"] = dataset.system;
  json["add_special"] = dataset.add_special;
  json["stop"] = dataset.stop;
  json["post"] = dataset.post;
  json["metrics"] = metrics_json(dataset.metrics);
  json["calibration"] = dataset.calibration.files ? files_json(*dataset.calibration.files) : Json();
  json["calibration"]["limit"] = dataset.calibration.limit;
  return json;
}

Json strategy_json(const StrategySection& strategy) {
  Json params = Json::object();
  for (const auto& [name, value] : strategy.params) params[name] = value.text;
  return {{"name", strategy.name},       {"label", strategy.label},
          {"group", strategy.group},     {"params", std::move(params)},
          {"targets", strategy.targets}, {"adapter", strategy.adapter.text}};
}

}  // namespace

nlohmann::json resolved_json(const SweepConfig& config) {
  Json json;
  json["name"] = config.name;
  json["results"] = config.results;
  json["device"] = config.device;
  json["seed"] = config.seed;
  json["model"] = {{"path", config.model.path},
                   {"dtype", config.model.dtype_name},
                   {"tokenizer", config.model.tokenizer},
                   {"threads", config.model.threads},
                   {"adapter", config.model.adapter.text}};
  for (const DatasetSection& dataset : config.datasets) {
    json["datasets"].push_back(dataset_json(dataset));
  }
  json["decoding"] = {{"max_new_tokens", config.max_new_tokens},
                      {"beams", config.beams.beams},
                      {"temperature", config.sampling.temperature},
                      {"top_k", config.sampling.top_k}};
  if (config.beams.beams > 1) {
    json["decoding"]["length_penalty"] = config.beams.length_penalty;
    json["decoding"]["early_stopping"] = early_stopping_text(config.beams.early_stopping);
    json["decoding"]["no_repeat_ngram"] = config.beams.no_repeat_ngram;
  }
  for (const StrategySection& strategy : config.strategies) {
    json["strategies"].push_back(strategy_json(strategy));
  }
  json["batch_sizes"] = config.batch_sizes;
  json["timing"] = {{"repetitions", config.timing.repetitions},
                    {"warmup", config.timing.warmup},
                    {"new_tokens", config.timing.new_tokens},
                    {"prompts", config.timing.prompts}};
  return json;
}

}  // namespace skipbench
