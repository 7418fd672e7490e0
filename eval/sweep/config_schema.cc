#include "eval/sweep/config_schema.h"

#include <charconv>
#include <string>

#include "eval/metrics/registry.h"
#include "eval/metrics/response_metrics.h"
#include "eval/sweep/config_keys.h"

namespace skipbench {
namespace {

using OrderedJson = nlohmann::ordered_json;
using enum KeyType;

OrderedJson object_schema(const std::string& path);

OrderedJson number_schema(const ConfigKey& key, const char* type) {
  OrderedJson json = {{"type", type}};
  if (key.min != key.max) {
    json["minimum"] = key.min;
    json["maximum"] = key.max;
  }
  return json;
}

// YAML reads `true` and `5` as other than texts; the parser takes them as written.
OrderedJson text_schema(const ConfigKey& key) {
  if (key.choices.empty()) return {{"type", {"string", "number", "boolean"}}};
  OrderedJson choices = OrderedJson::array();
  for (size_t begin = 0; begin <= key.choices.size();) {
    const size_t end = std::min(key.choices.find('|', begin), key.choices.size());
    const std::string choice(key.choices.substr(begin, end - begin));
    choices.push_back(choice);
    if (choice == "true" || choice == "false") choices.push_back(choice == "true");
    begin = end + 1;
  }
  return {{"enum", choices}};
}

OrderedJson one_or_list(const OrderedJson& item) {
  return {{"anyOf", {item, {{"type", "array"}, {"items", item}}}}};
}

OrderedJson settings_schema() {
  return {{"type", {"object", "null"}},
          {"additionalProperties", {{"type", {"string", "number", "boolean", "array"}}}}};
}

OrderedJson metrics_schema() {
  OrderedJson names = OrderedJson::array(), properties = OrderedJson::object();
  for (const MetricEntry& metric : metric_table()) {
    names.push_back(metric.name);
    properties[metric.name] = settings_schema();
  }
  for (const ResponseMetricEntry& metric : response_metric_table()) {
    names.push_back(metric.name);
    properties[metric.name] = settings_schema();
  }
  const OrderedJson with_settings = {{"type", "object"},
                                     {"properties", properties},
                                     {"additionalProperties", false},
                                     {"minProperties", 1},
                                     {"maxProperties", 1}};
  return {{"type", "array"},
          {"minItems", 1},
          {"items", {{"anyOf", {OrderedJson{{"enum", names}}, with_settings}}}}};
}

OrderedJson sections_schema(const std::string& path) {
  OrderedJson item = object_schema(path + "[]");
  if (item["properties"].contains("name")) {
    item["required"] = {"name"};
    item = {{"anyOf", {item, {{"type", "string"}}}}};  // a bare name
  }
  return {{"type", "array"}, {"minItems", 1}, {"items", item}};
}

OrderedJson value_schema(const ConfigKey& key) {
  const std::string path(key.path);
  switch (key.type) {
    case kText:
      return text_schema(key);
    case kPath:
      return {{"type", "string"}};
    case kInteger:
      return number_schema(key, "integer");
    case kNumber:
      return number_schema(key, "number");
    case kTextList:
      return one_or_list(text_schema(key));
    case kPathList:
      return one_or_list({{"type", "string"}});
    case kIntegerList:
      return one_or_list(number_schema(key, "integer"));
    case kNumberList:
      return one_or_list(number_schema(key, "number"));
    case kSettings:
      return settings_schema();
    case kSection:
      return object_schema(path);
    case kSections:
      return sections_schema(path);
    case kMetrics:
      return metrics_schema();
    case kDefaults:
      return object_schema(path.substr(path.find('.') + 1) + "[]");
  }
  return {};
}

// The default as JSON, where it is one value.
OrderedJson default_value(const ConfigKey& key) {
  const std::string text(key.default_text);
  if (key.type == kNumber) return std::stod(text);
  if (key.type != kInteger && key.type != kIntegerList) return text;
  int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

OrderedJson object_schema(const std::string& path) {
  OrderedJson properties = OrderedJson::object();
  for (const std::string& name : child_names(path)) {
    const ConfigKey& key = *find_config_key(path.empty() ? name : path + "." + name);
    OrderedJson value = value_schema(key);
    value["description"] = key.help;
    if (!key.default_text.empty() && key.default_text != kRequired) {
      value["default"] = default_value(key);
    }
    properties[name] = std::move(value);
  }
  return {{"type", "object"}, {"additionalProperties", false}, {"properties", properties}};
}

}  // namespace

nlohmann::ordered_json config_schema() {
  OrderedJson schema = {{"$schema", "http://json-schema.org/draft-07/schema#"},
                        {"title", "A sweep of skipbench"}};
  schema.update(object_schema(""));
  OrderedJson required = OrderedJson::array();
  for (const std::string& name : child_names("")) {
    if (find_config_key(name)->default_text == kRequired) required.push_back(name);
  }
  // What is required may come from an included file.
  schema["anyOf"] = {OrderedJson{{"required", {"include"}}}, OrderedJson{{"required", required}}};
  return schema;
}

}  // namespace skipbench
