#include "strategies/params.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/base/error.h"

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

bool has_param(const StrategySpec& spec, std::string_view name) {
  return find(spec, name) != nullptr;
}

}  // namespace skipbench
