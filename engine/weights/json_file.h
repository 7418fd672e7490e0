// JSON that others wrote: parsed with limits, read with typed look-ups that name file and key.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skipbench {

// Parses `text`; refuses objects that hold a key twice and nesting deeper than 64. Throws Error
// naming `where` and the byte, counted from `first_byte`.
nlohmann::json parse_json(std::string_view text, const std::string& where, int64_t first_byte = 0);

// An object of a JSON file. Explicit nulls count as absent: transformers writes "not set" so.
class JsonObject {
 public:
  // `prefix` is the key path of the object inside the file: "" or "rope_parameters.".
  JsonObject(std::string path, nlohmann::json value, std::string prefix = "");
  static JsonObject read(const std::string& path);  // throws Error when the file is no object

  const std::string& path() const { return path_; }
  std::string where(std::string_view key) const;  // "FILE: key 'a.b'"

  bool has(std::string_view key) const { return find(key) != nullptr; }
  bool is_null(std::string_view key) const;  // present, and null
  std::vector<std::string> keys() const;     // also of null values

  // Nothing for an absent key; throws Error for a value of another kind.
  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string> string(std::string_view key) const;
  std::optional<std::vector<std::string>> strings(std::string_view key) const;
  std::optional<std::vector<int64_t>> integers(std::string_view key) const;  // or one integer
  std::optional<JsonObject> object(std::string_view key) const;

  // The value under whichever of the alternative spellings is there; throws when two disagree.
  std::optional<int64_t> integer_of(std::initializer_list<std::string_view> spellings) const;
  std::optional<std::string> string_of(std::initializer_list<std::string_view> spellings) const;

  // The value, or null when absent; for checks on values of any kind.
  const nlohmann::json* find(std::string_view key) const;

 private:
  std::string path_;
  nlohmann::json value_;
  std::string prefix_;
};

}  // namespace skipbench
