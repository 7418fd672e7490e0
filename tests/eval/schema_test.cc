// The JSON Schema agrees with the parser: what one takes the other takes.
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/base/error.h"
#include "eval/sweep/config.h"
#include "eval/sweep/config_schema.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

std::string source_path(const std::string& name) {
  return std::string(SKIPBENCH_SOURCE_DIR) + "/" + name;
}

// YAML's core schema, as editors read it.
Json json_of(const YAML::Node& node) {
  if (node.IsMap()) {
    Json json = Json::object();
    for (const auto& entry : node) json[entry.first.Scalar()] = json_of(entry.second);
    return json;
  }
  if (node.IsSequence()) {
    Json json = Json::array();
    for (size_t i = 0; i < node.size(); ++i) json.push_back(json_of(node[i]));
    return json;
  }
  if (!node.IsScalar()) return nullptr;
  const bool quoted = node.Tag() == "!";
  const Json value = Json::parse(node.Scalar(), nullptr, /*allow_exceptions=*/false);
  const bool plain = value.is_number() || value.is_boolean() || value.is_null();
  return !quoted && plain ? value : Json(node.Scalar());
}

bool is_of_type(const Json& value, const std::string& type) {
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  return type == "null" && value.is_null();
}

// The keywords that the schema uses, by their definition in draft 7.
bool is_valid(const Json& schema, const Json& value);

bool properties_are_valid(const Json& schema, const Json& value) {
  const Json properties = schema.value("properties", Json::object());
  const Json rest = schema.value("additionalProperties", Json(true));
  for (const auto& [key, item] : value.items()) {
    const Json& of_key = properties.contains(key) ? properties.at(key) : rest;
    if (of_key == false || (of_key.is_object() && !is_valid(of_key, item))) return false;
  }
  for (const Json& key : schema.value("required", Json::array())) {
    if (!value.contains(key.get<std::string>())) return false;
  }
  return value.size() >= schema.value("minProperties", size_t{0}) &&
         value.size() <= schema.value("maxProperties", size_t{1000});
}

bool is_valid(const Json& schema, const Json& value) {
  if (schema.contains("type")) {
    const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    if (std::none_of(types.begin(), types.end(),
                     [&](const Json& type) { return is_of_type(value, type); })) {
      return false;
    }
  }
  if (schema.contains("enum")) {
    const Json& choices = schema["enum"];
    if (std::find(choices.begin(), choices.end(), value) == choices.end()) return false;
  }
  if (schema.contains("anyOf")) {
    const Json& all = schema["anyOf"];
    if (std::none_of(all.begin(), all.end(),
                     [&](const Json& one) { return is_valid(one, value); })) {
      return false;
    }
  }
  if (value.is_number() && schema.contains("minimum") &&
      (value < schema["minimum"] || value > schema["maximum"])) {
    return false;
  }
  if (value.is_array() && value.size() < schema.value("minItems", size_t{0})) return false;
  if (value.is_array() && schema.contains("items")) {
    for (const Json& item : value) {
      if (!is_valid(schema["items"], item)) return false;
    }
  }
  return !value.is_object() || properties_are_valid(schema, value);
}

TEST(Schema, TheCommittedOneIsUpToDate) {
  std::ifstream file(source_path("configs/sweep.schema.json"));
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), config_schema().dump(1) + "\n")
      << "run `skipbench schema > configs/sweep.schema.json`";
}

TEST(Schema, AcceptsEveryConfiguration) {
  const Json schema = config_schema();
  int checked = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_path("configs"))) {
    if (entry.path().extension() != ".yaml") continue;
    std::ifstream file(entry.path());
    std::string first;
    std::getline(file, first);
    if (first != "# yaml-language-server: $schema=sweep.schema.json") continue;  // no sweep
    EXPECT_TRUE(is_valid(schema, json_of(YAML::LoadFile(entry.path())))) << entry.path();
    ++checked;
  }
  EXPECT_GE(checked, 4);
  const SweepFolder folder;
  EXPECT_TRUE(is_valid(schema, json_of(YAML::Load(folder.config_text()))));
  EXPECT_TRUE(is_valid(schema, json_of(YAML::Load("include: a.yaml\nname: b"))));
}

// Each change is refused by both, or taken by both.
TEST(Schema, RefusesWhatTheParserRefuses) {
  const Json schema = config_schema();
  const SweepFolder folder;
  const auto check = [&](const std::string& more, bool valid) {
    const std::string text = folder.config_text() + more + "\n";
    EXPECT_EQ(is_valid(schema, json_of(YAML::Load(text))), valid) << more;
    folder.write_config(text);
    bool loads = true;
    try {
      load_sweep_variants(folder.path("sweep.yaml"));
    } catch (const Error&) {
      loads = false;
    }
    EXPECT_EQ(loads, valid) << more;
  };
  for (const char* more :
       {"seed: 5", "matrix: {dtypes: [f16, bf16], seeds: 3}", "matrix: {beams: [1, 2]}",
        "exclude: [{target: 3, batch_size: [1, 3]}]", "defaults: {datasets: {add_special: true}}",
        "device: cuda", "plugins: []"}) {
    check(more, true);
  }
  for (const char* more :
       {"seed: x", "seed: -1", "seeds: 5", "matrix: {dtypes: [f61]}", "matrix: {beams: 100}",
        "exclude: [{batches: 1}]", "defaults: {datasets: {add_special: maybe}}",
        "defaults: {datasets: {limits: 3}}", "device: [cpu]", "plugins: {a: b}"}) {
    check(more, false);
  }
}

}  // namespace
}  // namespace skipbench
