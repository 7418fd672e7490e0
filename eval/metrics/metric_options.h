// A metric's settings as a YAML file or the command line spells them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skipbench {

using MetricOptions = std::map<std::string, std::string>;

// Reads settings one by one, then refuses what nobody asked for. Every error names
// `where` (a key path or flag) and the key.
class MetricOptionReader {
 public:
  MetricOptionReader(const MetricOptions& options, std::string where)
      : options_(options), where_(std::move(where)) {}

  std::string text(const std::string& key, std::string fallback);
  bool boolean(const std::string& key, bool fallback);  // true/false, yes/no, on/off, 1/0
  int integer(const std::string& key, int fallback, int min, int max);
  std::optional<double> number(const std::string& key, double min);  // finite, >= min

  // Throws Error for a key that was not read, the nearest known key first.
  void finish() const;

  std::string key_path(const std::string& key) const;

 private:
  const std::string* find(const std::string& key);

  const MetricOptions& options_;
  std::string where_;
  std::vector<std::string> known_;
};

}  // namespace skipbench
