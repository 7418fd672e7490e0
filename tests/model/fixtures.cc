#include "tests/model/fixtures.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace skipbench {

std::filesystem::path fixtures_folder() {
  // The variable: where the program runs on another machine than the one that built it.
  const char* moved = std::getenv("SKIPBENCH_SOURCE_DIR");
  return std::filesystem::path(moved != nullptr ? moved : SKIPBENCH_SOURCE_DIR) / "tests" /
         "fixtures";
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures_folder() / "cases")) {
    names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

nlohmann::json read_case(const std::string& name) {
  std::ifstream file(fixtures_folder() / "cases" / (name + ".json"));
  return nlohmann::json::parse(file);
}

std::vector<ScoreRequest> requests_of(const nlohmann::json& fixture) {
  std::vector<ScoreRequest> requests;
  for (const auto& request : fixture["requests"]) {
    requests.push_back(
        {request["prompt"].get<TokenIds>(), request["continuation"].get<TokenIds>()});
  }
  return requests;
}

StrategySpec spec_of(const nlohmann::json& one_case) {
  StrategySpec spec{.name = one_case["strategy"], .target = one_case["target"]};
  if (!one_case.contains("params")) return spec;
  for (const auto& [key, value] : one_case["params"].items()) {
    spec.params[key] = {value.is_string() ? value.get<std::string>() : value.dump(), "fixture"};
  }
  return spec;
}

std::string as_test_name(std::string fixture) {
  std::replace(fixture.begin(), fixture.end(), '-', '_');
  return fixture;
}

std::string fixture_test_name(const testing::TestParamInfo<std::string>& info) {
  return as_test_name(info.param);
}

std::vector<TokenIds> ragged_prompts(int count, int vocabulary) {
  std::vector<TokenIds> prompts(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    for (int t = 0; t < 1 + (5 * i + 3) % 7; ++t) {
      prompts[i].push_back((31 * i + 7 * t) % vocabulary);
    }
  }
  return prompts;
}

}  // namespace skipbench
