// Typed look-ups in a parsed GGUF file.
#include <fmt/format.h>

#include <array>
#include <limits>
#include <utility>

#include "engine/base/error.h"
#include "engine/weights/ggml_type.h"
#include "engine/weights/gguf.h"

namespace skipbench {
namespace {

std::string_view kind_name(const GgufValue& value) {
  static constexpr std::array<std::string_view, std::variant_size_v<GgufValue>> kNames = {
      "a boolean",
      "an integer",
      "an integer",
      "a number",
      "a string",
      "integers",
      "an array of numbers",
      "an array of strings",
      "an array of booleans"};
  return kNames[value.index()];
}

Error wrong_kind(const std::string& path, std::string_view key, std::string_view expected,
                 std::string got) {
  return Error({.what = "metadata value of the wrong kind",
                .where = fmt::format("{}: key '{}'", path, key),
                .expected = std::string(expected),
                .got = std::move(got)});
}

}  // namespace

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = metadata_.find(std::string(key));
  return found == metadata_.end() ? nullptr : &found->second;
}

const GgufValue& GgufFile::get(std::string_view key) const {
  if (const GgufValue* value = find(key)) return *value;
  throw Error({.what = fmt::format("metadata key '{}' is missing", key), .where = path_});
}

bool GgufFile::has(std::string_view key) const { return find(key) != nullptr; }

int64_t GgufFile::integer(std::string_view key) const {
  const GgufValue& value = get(key);
  if (const auto* i = std::get_if<int64_t>(&value)) return *i;
  if (const auto* u = std::get_if<uint64_t>(&value)) {
    if (*u <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return static_cast<int64_t>(*u);
    }
    throw wrong_kind(path_, key, "an integer below 2^63", std::to_string(*u));
  }
  throw wrong_kind(path_, key, "an integer", std::string(kind_name(value)));
}

double GgufFile::number(std::string_view key) const {
  const GgufValue& value = get(key);
  if (const auto* d = std::get_if<double>(&value)) return *d;
  if (std::holds_alternative<int64_t>(value) || std::holds_alternative<uint64_t>(value)) {
    return static_cast<double>(integer(key));
  }
  throw wrong_kind(path_, key, "a number", std::string(kind_name(value)));
}

const std::string& GgufFile::string(std::string_view key) const {
  const GgufValue& value = get(key);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  throw wrong_kind(path_, key, "a string", std::string(kind_name(value)));
}

const std::vector<std::string>& GgufFile::strings(std::string_view key) const {
  const GgufValue& value = get(key);
  if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) return *texts;
  throw wrong_kind(path_, key, "an array of strings", std::string(kind_name(value)));
}

std::vector<int64_t> GgufFile::integers(std::string_view key) const {
  const GgufValue& value = get(key);
  if (const auto* integers = std::get_if<std::vector<int64_t>>(&value)) return *integers;
  throw wrong_kind(path_, key, "an array of integers", std::string(kind_name(value)));
}

std::vector<double> GgufFile::numbers(std::string_view key) const {
  const GgufValue& value = get(key);
  if (const auto* numbers = std::get_if<std::vector<double>>(&value)) return *numbers;
  if (const auto* integers = std::get_if<std::vector<int64_t>>(&value)) {
    return {integers->begin(), integers->end()};
  }
  throw wrong_kind(path_, key, "an array of numbers", std::string(kind_name(value)));
}

int64_t GgufFile::integer_or(std::string_view key, int64_t fallback) const {
  return has(key) ? integer(key) : fallback;
}

double GgufFile::number_or(std::string_view key, double fallback) const {
  return has(key) ? number(key) : fallback;
}

std::string GgufFile::string_or(std::string_view key, std::string fallback) const {
  return has(key) ? string(key) : std::move(fallback);
}

bool GgufFile::bool_or(std::string_view key, bool fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return fallback;
  if (const auto* flag = std::get_if<bool>(value)) return *flag;
  throw wrong_kind(path_, key, "a boolean", std::string(kind_name(*value)));
}

std::optional<Weight> GgufFile::tensor(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  const TensorEntry& entry = found->second;
  const auto fail = [&](std::string what, std::string expected, std::string got) {
    throw Error({.what = std::move(what),
                 .where = fmt::format("{}: tensor '{}' at byte {}", path_, name, entry.offset),
                 .expected = std::move(expected),
                 .got = std::move(got)});
  };
  const GgmlType* type = find_ggml_type(entry.ggml_type);
  if (type == nullptr || !type->dtype) {
    fail("tensor type not supported", "F32, F16, BF16, Q8_0, Q4_0 or Q4_1",
         type ? std::string(type->name) : fmt::format("type number {}", entry.ggml_type));
  }
  for (size_t d = 2; d < entry.shape.size(); ++d) {
    if (entry.shape[d] != 1) {
      fail("the tensor has more than two dimensions", "a vector or a matrix",
           fmt::format("[{}]", fmt::join(entry.shape, ", ")));
    }
  }
  Weight weight;
  weight.name = name;
  weight.type = *type->dtype;
  weight.rows = entry.shape.size() > 1 ? static_cast<int64_t>(entry.shape[1]) : 1;
  weight.cols = static_cast<int64_t>(entry.shape[0]);
  weight.data = file_->bytes().data() + entry.offset;
  return weight;
}

std::optional<uint64_t> GgufFile::tensor_offset(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  return found->second.offset;
}

std::vector<std::string> GgufFile::tensor_names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : tensors_) names.push_back(name);
  return names;
}

}  // namespace skipbench
