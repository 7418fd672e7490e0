#include "tests/metrics/test_data.h"

#include <zlib.h>

#include <filesystem>
#include <stdexcept>

namespace skipbench {

std::string read_test_file(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  if (!file) throw std::runtime_error("cannot open " + path);
  std::string text, chunk(1 << 16, '\0');
  int bytes = 0;
  while ((bytes = gzread(file, chunk.data(), 1 << 16)) > 0) text.append(chunk, 0, bytes);
  if (gzclose(file) != Z_OK || bytes < 0) throw std::runtime_error("cannot read " + path);
  return text;
}

std::vector<std::string> read_test_lines(const std::string& path) {
  const std::string text = read_test_file(path);
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

nlohmann::json read_test_json(const std::string& path) {
  return nlohmann::json::parse(read_test_file(path));
}

std::vector<nlohmann::json> read_test_jsonl(const std::string& path) {
  std::vector<nlohmann::json> rows;
  for (const std::string& line : read_test_lines(path)) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

const nlohmann::json& metric_fixtures() {
  static const nlohmann::json fixtures =
      read_test_json(SKIPBENCH_SOURCE_DIR "/tests/metrics/fixtures/metrics.json");
  return fixtures;
}

std::string shared_data(const std::string& path) { return SKIPBENCH_SHARED_DIR "/data/" + path; }

bool have_shared_data() { return std::filesystem::exists(shared_data("scores")); }

}  // namespace skipbench
