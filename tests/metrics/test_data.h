// What the tests of metrics share: reading test data (whole files, plain or gzip, lines and JSON)
// and comparing.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace skipbench {

// Of a score against the reference implementation's, on the scale that this has.
inline constexpr double kScoreTolerance = 1e-9;

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Throws std::runtime_error naming the file if it cannot be read.
std::string read_test_file(const std::string& path);
std::vector<std::string> read_test_lines(const std::string& path);  // split at LF alone
nlohmann::json read_test_json(const std::string& path);
std::vector<nlohmann::json> read_test_jsonl(const std::string& path);

// The committed fixtures/metrics.json, read once.
const nlohmann::json& metric_fixtures();

// Path under ../shared/data, and whether that folder is there at all.
std::string shared_data(const std::string& path);
bool have_shared_data();

}  // namespace skipbench
