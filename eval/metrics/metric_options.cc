#include "eval/metrics/metric_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "engine/base/error.h"

namespace skipbench {
namespace {

// Parses all of `text`, or nothing.
template <typename Number>
std::optional<Number> parse_whole(const std::string& text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

}  // namespace

std::string MetricOptionReader::key_path(const std::string& key) const {
  return where_.empty() ? key : where_ + "." + key;
}

const std::string* MetricOptionReader::find(const std::string& key) {
  known_.push_back(key);
  const auto found = options_.find(key);
  return found == options_.end() ? nullptr : &found->second;
}

std::string MetricOptionReader::text(const std::string& key, std::string fallback) {
  const std::string* value = find(key);
  return value ? *value : fallback;
}

bool MetricOptionReader::boolean(const std::string& key, bool fallback) {
  const std::string* value = find(key);
  if (!value) return fallback;
  for (const char* yes : {"true", "yes", "on", "1"}) {
    if (*value == yes) return true;
  }
  for (const char* no : {"false", "no", "off", "0"}) {
    if (*value == no) return false;
  }
  throw Error({.what = "not a truth value",
               .where = key_path(key),
               .expected = "true or false",
               .got = "'" + *value + "'"});
}

int MetricOptionReader::integer(const std::string& key, int fallback, int min, int max) {
  const std::string* value = find(key);
  if (!value) return fallback;
  const std::optional<int> parsed = parse_whole<int>(*value);
  if (parsed && *parsed >= min && *parsed <= max) return *parsed;
  throw Error({.what = "number out of range",
               .where = key_path(key),
               .expected = fmt::format("an integer from {} to {}", min, max),
               .got = "'" + *value + "'"});
}

std::optional<double> MetricOptionReader::number(const std::string& key, double min) {
  const std::string* value = find(key);
  if (!value) return std::nullopt;
  const std::optional<double> parsed = parse_whole<double>(*value);
  if (parsed && std::isfinite(*parsed) && *parsed >= min) return parsed;
  throw Error({.what = "number out of range",
               .where = key_path(key),
               .expected = fmt::format("a number of at least {}", min),
               .got = "'" + *value + "'"});
}

void MetricOptionReader::finish() const {
  for (const auto& [key, value] : options_) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    throw unknown_name("metric setting", key, known_, where_);
  }
}

}  // namespace skipbench
