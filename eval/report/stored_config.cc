#include "eval/report/stored_config.h"

#include <nlohmann/json.hpp>

#include "eval/store/stored_json.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

DataFiles files_of(const Json& json) {
  return {
      .source = json.value("source", ""),
      .references = json.value("reference", std::vector<std::string>{}),
      .jsonl = json.value("jsonl", ""),
      .tsv = json.value("tsv", ""),
      .source_field = json.value("source_field", "source"),
      .reference_fields = json.value("reference_fields", std::vector<std::string>{"reference"})};
}

StoredDataset dataset_of(const Json& json) {
  StoredDataset dataset{.name = json.at("name").get<std::string>(), .files = files_of(json)};
  for (const Json& entry : json.at("metrics").get_ref<const Json::array_t&>()) {
    // {"bleu": {"tokenize": "13a"}}
    for (const auto& [name, options] : entry.get_ref<const Json::object_t&>()) {
      dataset.metrics.emplace_back(name, options.get<MetricOptions>());
    }
  }
  return dataset;
}

StoredStrategy strategy_of(const Json& json) {
  const Json params = json.value("params", Json::object());
  return {.label = json.value("label", ""),
          .group = json.value("group", ""),
          .adapter = json.value("adapter", ""),
          .depths = params.value("depths", ""),
          .targets = json.value("targets", std::vector<double>{})};
}

StoredConfig config_of(const Json& json) {
  StoredConfig config{.name = json.value("name", ""), .seed = json.value("seed", int64_t{0})};
  const Json model = json.value("model", Json::object());
  config.dtype = model.value("dtype", "");
  config.adapter = model.value("adapter", "");
  const Json decoding = json.value("decoding", Json::object());
  config.temperature = decoding.value("temperature", 0.0);
  config.top_k = decoding.value("top_k", 0);
  config.beams = decoding.value("beams", 1);
  config.length_penalty = decoding.value("length_penalty", 1.0);
  config.early_stopping = decoding.value("early_stopping", "false");
  config.no_repeat_ngram = decoding.value("no_repeat_ngram", 0);
  for (const Json& one : json.value("datasets", Json::array_t{})) {
    config.datasets.push_back(dataset_of(one));
  }
  for (const Json& one : json.value("strategies", Json::array_t{})) {
    config.strategies.push_back(strategy_of(one));
  }
  return config;
}

}  // namespace

StoredConfig read_stored_config(const std::string& json, const std::string& where) {
  return read_stored(where, "configuration", [&] { return config_of(Json::parse(json)); });
}

}  // namespace skipbench
