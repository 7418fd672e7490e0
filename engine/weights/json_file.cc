#include "engine/weights/json_file.h"

#include <fmt/format.h>

#include <limits>
#include <set>

#include "engine/base/error.h"
#include "engine/base/mapped_file.h"

namespace skipbench {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 64;
constexpr size_t kMaxFileBytes = 100u << 20;  // the limit of the safetensors format for its header

std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

std::optional<int64_t> as_integer(const json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  return std::nullopt;
}

Error wrong_kind(std::string where, std::string expected, const json& got) {
  return Error({.what = "value of the wrong kind",
                .where = std::move(where),
                .expected = std::move(expected),
                .got = shown(got)});
}

}  // namespace

json parse_json(std::string_view text, const std::string& where, int64_t first_byte) {
  std::vector<std::set<std::string>> open;  // keys seen so far in each open object
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMaxDepth) {
      throw Error({.what = fmt::format("JSON nested deeper than {}", kMaxDepth), .where = where});
    }
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key &&
        !open.back().insert(parsed.get<std::string>()).second) {
      throw Error({.what = fmt::format("key {} stands in the same object twice", shown(parsed)),
                   .where = where});
    }
    return true;
  };
  try {
    return json::parse(text, watch);
  } catch (const json::parse_error& error) {
    throw Error(
        {.what = "not valid JSON",
         .where = fmt::format("{}: byte {}", where, first_byte + static_cast<int64_t>(error.byte)),
         .got = error.what()});
  } catch (const json::exception& error) {
    throw Error({.what = "not valid JSON", .where = where, .got = error.what()});
  }
}

JsonObject::JsonObject(std::string path, json value, std::string prefix)
    : path_(std::move(path)), value_(std::move(value)), prefix_(std::move(prefix)) {}

JsonObject JsonObject::read(const std::string& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  if (bytes.size() > kMaxFileBytes) {
    throw Error({.what = "JSON file too large",
                 .where = path,
                 .expected = fmt::format("up to {} bytes", kMaxFileBytes),
                 .got = std::to_string(bytes.size())});
  }
  json value = parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
  if (!value.is_object()) throw wrong_kind(path, "a JSON object", value);
  return JsonObject(path, std::move(value));
}

std::string JsonObject::where(std::string_view key) const {
  return fmt::format("{}: key '{}{}'", path_, prefix_, key);
}

const json* JsonObject::find(std::string_view key) const {
  const auto found = value_.find(key);
  return found == value_.end() || found->is_null() ? nullptr : &*found;
}

bool JsonObject::is_null(std::string_view key) const {
  const auto found = value_.find(key);
  return found != value_.end() && found->is_null();
}

std::vector<std::string> JsonObject::keys() const {
  std::vector<std::string> names;
  for (const auto& [key, value] : value_.items()) names.push_back(key);
  return names;
}

std::optional<int64_t> JsonObject::integer(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto number = as_integer(*value);
  if (!number) throw wrong_kind(where(key), "an integer", *value);
  return number;
}

std::optional<double> JsonObject::number(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) throw wrong_kind(where(key), "a number", *value);
  return value->get<double>();
}

std::optional<bool> JsonObject::boolean(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) throw wrong_kind(where(key), "true or false", *value);
  return value->get<bool>();
}

std::optional<std::string> JsonObject::string(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) throw wrong_kind(where(key), "a string", *value);
  return value->get<std::string>();
}

std::optional<std::vector<std::string>> JsonObject::strings(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) throw wrong_kind(where(key), "a list of strings", *value);
  std::vector<std::string> texts;
  for (const json& element : *value) {
    if (!element.is_string()) throw wrong_kind(where(key), "a list of strings", *value);
    texts.push_back(element.get<std::string>());
  }
  return texts;
}

std::optional<std::vector<int64_t>> JsonObject::integers(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  std::vector<int64_t> numbers;
  const json list = value->is_array() ? *value : json::array({*value});
  for (const json& element : list) {
    const auto number = as_integer(element);
    if (!number) throw wrong_kind(where(key), "an integer or a list of integers", *value);
    numbers.push_back(*number);
  }
  return numbers;
}

std::optional<JsonObject> JsonObject::object(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) throw wrong_kind(where(key), "an object", *value);
  return JsonObject(path_, *value, fmt::format("{}{}.", prefix_, key));
}

namespace {

template <typename Value, typename Get>
std::optional<Value> agreeing(const JsonObject& object,
                              std::initializer_list<std::string_view> spellings, Get get) {
  std::optional<Value> result;
  std::string_view first;
  for (const std::string_view key : spellings) {
    const std::optional<Value> value = get(key);
    if (!value) continue;
    if (result && *result != *value) {
      throw Error({.what = fmt::format("contradicts key '{}'", first),
                   .where = object.where(key),
                   .expected = fmt::format("{}", *result),
                   .got = fmt::format("{}", *value)});
    }
    if (!result) first = key;
    result = value;
  }
  return result;
}

}  // namespace

std::optional<int64_t> JsonObject::integer_of(
    std::initializer_list<std::string_view> spellings) const {
  return agreeing<int64_t>(*this, spellings, [&](std::string_view key) { return integer(key); });
}

std::optional<std::string> JsonObject::string_of(
    std::initializer_list<std::string_view> spellings) const {
  return agreeing<std::string>(*this, spellings, [&](std::string_view key) { return string(key); });
}

}  // namespace skipbench
