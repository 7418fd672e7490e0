// The built binary, as a user runs it.
#pragma once

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "engine/base/subprocess.h"

namespace skipbench {

inline ProcessResult skipbench_with_input(const std::string& input, std::vector<std::string> args) {
  args.insert(args.begin(), SKIPBENCH_BINARY);
  return run_process(args, input, /*timeout_seconds=*/120);
}

inline ProcessResult run_skipbench(std::vector<std::string> args) {
  return skipbench_with_input("", std::move(args));
}

inline std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

inline std::string fixture(const std::string& name) {
  return std::string(SKIPBENCH_SOURCE_DIR) + "/tests/fixtures/models/" + name;
}

}  // namespace skipbench
