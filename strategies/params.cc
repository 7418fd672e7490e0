#include "strategies/params.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "engine/base/error.h"
#include "engine/base/text_file.h"

namespace skipbench {
namespace {

const ParamValue* find(const StrategySpec& spec, std::string_view name) {
  const auto it = spec.params.find(std::string(name));
  return it == spec.params.end() ? nullptr : &it->second;
}

template <typename Number>
Number parse_in_range(const ParamValue& value, std::string_view name, Number lo, Number hi,
                      std::string_view kind) {
  Number number{};
  const char* end = value.text.data() + value.text.size();
  const auto [stop, error] = std::from_chars(value.text.data(), end, number);
  // The comparison is written so that NaN is refused as well.
  if (error != std::errc() || stop != end || !(number >= lo && number <= hi)) {
    throw Error({.what = fmt::format("parameter '{}' is out of range", name),
                 .where = value.where,
                 .expected = fmt::format("{} in [{}, {}]", kind, lo, hi),
                 .got = "'" + value.text + "'"});
  }
  return number;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::optional<int> parse_layer(std::string_view text) {
  text = trimmed(text);
  int layer = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), layer);
  if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return layer;
}

}  // namespace

double param_number(const StrategySpec& spec, std::string_view name, double fallback, double lo,
                    double hi) {
  const ParamValue* value = find(spec, name);
  return value == nullptr ? fallback : parse_in_range(*value, name, lo, hi, "a number");
}

int param_integer(const StrategySpec& spec, std::string_view name, int fallback, int lo, int hi) {
  const ParamValue* value = find(spec, name);
  return value == nullptr ? fallback : parse_in_range(*value, name, lo, hi, "a whole number");
}

size_t param_choice(const StrategySpec& spec, std::string_view name,
                    const std::vector<std::string>& choices, size_t fallback) {
  const ParamValue* value = find(spec, name);
  if (value == nullptr) return fallback;
  const auto it = std::find(choices.begin(), choices.end(), value->text);
  if (it == choices.end()) {
    throw unknown_name("value for parameter '" + std::string(name) + "':", value->text, choices,
                       value->where);
  }
  return static_cast<size_t>(it - choices.begin());
}

std::vector<int> param_layers(const StrategySpec& spec, std::string_view name, int num_layers) {
  const ParamValue* value = find(spec, name);
  if (value == nullptr) return {};
  const auto refuse = [&](const std::string& what, std::string_view got) {
    return Error({.what = fmt::format("parameter '{}' {}", name, what),
                  .where = value->where,
                  .expected = fmt::format("layers in [0, {}], as 0-5,9", num_layers - 1),
                  .got = fmt::format("'{}'", got)});
  };
  std::string_view rest = value->text;
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  std::vector<int> layers;
  std::vector<bool> seen(static_cast<size_t>(num_layers));
  while (!trimmed(rest).empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view item = trimmed(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    const size_t dash = std::min(item.find('-', 1), item.size());
    const auto first = parse_layer(item.substr(0, dash));
    const auto last = dash == item.size() ? first : parse_layer(item.substr(dash + 1));
    if (!first || !last || *last < *first) throw refuse("is no list", item);
    if (*first < 0 || *last >= num_layers)
      throw refuse("names a layer that the model does not have", item);
    for (int layer = *first; layer <= *last; ++layer) {
      if (seen[static_cast<size_t>(layer)]) throw refuse("names a layer twice", item);
      seen[static_cast<size_t>(layer)] = true;
      layers.push_back(layer);
    }
  }
  return layers;
}

std::vector<double> param_numbers(const StrategySpec& spec, std::string_view name) {
  const ParamValue* value = find(spec, name);
  if (value == nullptr) return {};
  std::string_view rest = value->text;
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  std::vector<double> numbers;
  while (!trimmed(rest).empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view item = trimmed(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    double number = 0;
    const auto [stop, error] = std::from_chars(item.data(), item.data() + item.size(), number);
    if (error != std::errc() || stop != item.data() + item.size() || !std::isfinite(number)) {
      throw Error({.what = fmt::format("parameter '{}' is no list of numbers", name),
                   .where = value->where,
                   .expected = "numbers with commas between them",
                   .got = fmt::format("'{}'", item)});
    }
    numbers.push_back(number);
  }
  return numbers;
}

double param_threshold(const StrategySpec& spec, int num_layers, std::string_view example) {
  if (layer_budget(num_layers, spec.target, spec.where) < num_layers &&
      !has_param(spec, "threshold")) {
    throw Error({.what = spec.name + " at a target above 1 needs a threshold",
                 .where = spec.where.empty() ? "--strategy " + spec.name : spec.where,
                 .expected = "a number in [0, 1]",
                 .hint = fmt::format("give --param threshold={}, or let `skipbench run` calibrate "
                                     "it on a dataset",
                                     example)});
  }
  return param_number(spec, "threshold", 1.0, 0.0, 1.0);
}

RowsDone param_rows_done(const StrategySpec& spec) {
  return static_cast<RowsDone>(param_choice(spec, "batch", {"auto", "wait", "compact"}, 0));
}

bool has_param(const StrategySpec& spec, std::string_view name) {
  return find(spec, name) != nullptr;
}

std::string read_param_file(const std::string& path, const std::string& source,
                            const std::string& content, const std::string& otherwise) {
  try {
    return read_small_file(path);
  } catch (const Error& error) {
    throw Error({.what = "cannot read the file of " + content,
                 .where = source,
                 .expected = "a file, or " + otherwise + " with commas between them",
                 .got = error.what()});
  }
}

}  // namespace skipbench
