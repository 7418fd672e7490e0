#include "eval/sweep/yaml_section.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "engine/base/error.h"
#include "engine/base/utf8.h"

namespace skipbench {
namespace {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string_view kind_name(const YAML::Node& node) {
  if (node.IsMap()) return "a section";
  if (node.IsSequence()) return "a list";
  return node.IsNull() ? "nothing" : "a value";
}

}  // namespace

YamlSection::YamlSection(const YamlDocument& document, YAML::Node node, std::string generic,
                         std::string actual)
    : document_(&document),
      node_(std::move(node)),
      generic_(std::move(generic)),
      actual_(std::move(actual)) {
  if (!node_.IsDefined() || node_.IsNull()) return;
  const std::string place = document_->where(actual_, node_);
  if (!node_.IsMap()) {
    throw Error({.what = "not a section",
                 .where = place,
                 .expected = "keys with values",
                 .got = std::string(kind_name(node_))});
  }
  const std::vector<std::string> known = child_names(generic_);
  std::set<std::string> seen;
  for (const auto& entry : node_) {
    const auto name = entry.first.as<std::string>("");
    const std::string where = document_->where(actual_path(name), entry.first);
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw unknown_name("key", name, known, where);
    }
    if (!seen.insert(name).second) throw Error({.what = "key given twice", .where = where});
  }
}

YamlSection YamlSection::root(const YamlDocument& document) {
  return YamlSection(document, document.root, "", "");
}

std::string YamlSection::actual_path(std::string_view key) const {
  return actual_.empty() ? std::string(key) : fmt::format("{}.{}", actual_, key);
}

const ConfigKey& YamlSection::key_of(std::string_view key) const {
  const std::string path =
      generic_.empty() ? std::string(key) : fmt::format("{}.{}", generic_, key);
  const ConfigKey* found = find_config_key(path);
  assert(found != nullptr && "every key that is read stands in the table");
  return *found;
}

std::optional<YAML::Node> YamlSection::find(std::string_view key) const {
  if (!node_.IsDefined() || !node_.IsMap()) return std::nullopt;
  const YAML::Node node = node_;  // operator[] of a non-const node would add the key
  const YAML::Node value = node[std::string(key)];
  if (!value.IsDefined() || value.IsNull()) return std::nullopt;
  return value;
}

bool YamlSection::has(std::string_view key) const { return find(key).has_value(); }

std::string YamlSection::where(std::string_view key) const {
  const auto value = find(key);
  return document_->where(actual_path(key), value ? *value : node_);
}

std::string YamlSection::scalar(const YAML::Node& node, const std::string& actual,
                                std::string_view kind) const {
  if (node.IsScalar()) return node.Scalar();
  throw Error({.what = "wrong kind of value",
               .where = document_->where(actual, node),
               .expected = std::string(kind),
               .got = std::string(kind_name(node))});
}

std::vector<std::string> YamlSection::scalars(std::string_view key, std::string_view kind,
                                              std::vector<std::string>* places) const {
  const ConfigKey& entry = key_of(key);
  const auto value = find(key);
  const std::string path = actual_path(key);
  std::vector<std::string> texts;
  if (!value) {
    if (entry.default_text == kRequired) {
      throw Error({.what = fmt::format("required key '{}' is missing", key),
                   .where = document_->where(actual_.empty() ? "" : actual_, node_),
                   .expected = std::string(entry.help)});
    }
    if (!entry.default_text.empty()) texts.emplace_back(entry.default_text);
  } else if (value->IsSequence()) {
    for (size_t i = 0; i < value->size(); ++i) {
      const YAML::Node item = (*value)[i];
      const std::string item_path = fmt::format("{}[{}]", path, i);
      texts.push_back(scalar(item, item_path, kind));
      if (places != nullptr) places->push_back(document_->where(item_path, item));
    }
    return texts;
  } else {
    texts.push_back(scalar(*value, path, kind));
  }
  if (places != nullptr) places->assign(texts.size(), where(key));
  return texts;
}

std::string YamlSection::text(std::string_view key) const {
  const ConfigKey& entry = key_of(key);
  if (const auto value = find(key); value && value->IsSequence()) {
    return scalar(*value, actual_path(key), "one text");  // throws: a list
  }
  const auto values = scalars(key, "a text", nullptr);
  const std::string text = values.empty() ? "" : values.front();
  if (text.empty() && entry.default_text == kRequired) {
    throw Error({.what = "empty value", .where = where(key), .expected = std::string(entry.help)});
  }
  if (!entry.choices.empty()) {
    const auto choices = split(entry.choices, '|');
    if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
      throw unknown_name(entry.path, text, choices, where(key));
    }
  }
  return text;
}

std::string YamlSection::path(std::string_view key) const {
  return resolve_path(text(key), where(key), document_->origin_of(actual_path(key)));
}

// ${NAME} is replaced first. A synthetic model's path is the part between its colons.
std::string YamlSection::resolve_path(std::string text, const std::string& where,
                                      const std::string& file_of_value) const {
  for (size_t begin = 0; (begin = text.find("${", begin)) != std::string::npos;) {
    const size_t end = text.find('}', begin);
    if (end == std::string::npos) {
      throw Error({.what = "'${' without '}'", .where = where, .got = text});
    }
    const std::string name = text.substr(begin + 2, end - begin - 2);
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) {
      throw Error({.what = fmt::format("environment variable '{}' is not set", name),
                   .where = where,
                   .hint = fmt::format("export {}=PATH, or write the path itself", name)});
    }
    if (find_invalid_utf8(value) != std::string::npos) {
      throw Error({.what = fmt::format("environment variable '{}' is not valid UTF-8", name),
                   .where = where,
                   .got = value});
    }
    text.replace(begin, end + 1 - begin, value);
    begin += std::string_view(value).size();
  }
  constexpr std::string_view kSynthetic = "synthetic:";
  const std::string prefix = text.starts_with(kSynthetic) ? std::string(kSynthetic) : "";
  const std::filesystem::path rest = text.substr(prefix.size());
  std::string file = rest.string(), suffix;
  if (const size_t colon = file.rfind(':'); !prefix.empty() && colon != std::string::npos) {
    suffix = file.substr(colon);
    file.resize(colon);
  }
  return prefix + here_or_beside(file, file_of_value) + suffix;
}

std::string here_or_beside(const std::string& file, const std::string& config_path) {
  std::error_code ignored;
  if (file.empty() || std::filesystem::exists(file, ignored)) return file;
  const auto beside = std::filesystem::path(config_path).parent_path() / file;
  return std::filesystem::exists(beside, ignored) ? beside.string() : file;
}

double YamlSection::number(const std::string& text, const ConfigKey& key, const std::string& where,
                           bool whole) const {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool ok = code == std::errc() && end == text.data() + text.size() && std::isfinite(value) &&
                  (!whole || value == std::floor(value));
  const bool in_range = key.min == key.max || (value >= key.min && value <= key.max);
  if (ok && in_range) return value;
  std::string expected = whole ? "a whole number" : "a number";
  if (key.min != key.max) expected += fmt::format(" from {} to {}", key.min, key.max);
  throw Error(
      {.what = "wrong value", .where = where, .expected = expected, .got = "'" + text + "'"});
}

int64_t YamlSection::integer(std::string_view key) const {
  return static_cast<int64_t>(number(text(key), key_of(key), where(key), /*whole=*/true));
}

double YamlSection::number(std::string_view key) const {
  return number(text(key), key_of(key), where(key), /*whole=*/false);
}

std::vector<std::string> YamlSection::texts(std::string_view key) const {
  std::vector<std::string> places;
  std::vector<std::string> values = scalars(key, "a text or a list of texts", &places);
  const ConfigKey& entry = key_of(key);
  if (entry.choices.empty()) return values;
  const auto choices = split(entry.choices, '|');
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::find(choices.begin(), choices.end(), values[i]) != choices.end()) continue;
    throw unknown_name(entry.path, values[i], choices, places[i]);
  }
  return values;
}

std::vector<std::string> YamlSection::paths(std::string_view key) const {
  std::vector<std::string> places;
  std::vector<std::string> values = scalars(key, "a path or a list of paths", &places);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = resolve_path(values[i], places[i], document_->origin_of(actual_path(key)));
  }
  return values;
}

std::vector<int64_t> YamlSection::integers(std::string_view key) const {
  std::vector<std::string> places;
  const auto values = scalars(key, "a whole number or a list of them", &places);
  std::vector<int64_t> numbers;
  for (size_t i = 0; i < values.size(); ++i) {
    numbers.push_back(static_cast<int64_t>(number(values[i], key_of(key), places[i], true)));
  }
  return numbers;
}

std::vector<YAML::Node> YamlSection::nodes(std::string_view key) const {
  std::vector<YAML::Node> items;
  const auto value = find(key);
  if (!value) return items;
  if (!value->IsSequence()) return {*value};
  for (size_t i = 0; i < value->size(); ++i) items.push_back((*value)[i]);
  return items;
}

std::vector<double> YamlSection::numbers(std::string_view key) const {
  std::vector<std::string> places;
  const auto values = scalars(key, "a number or a list of them", &places);
  std::vector<double> numbers;
  for (size_t i = 0; i < values.size(); ++i) {
    numbers.push_back(number(values[i], key_of(key), places[i], false));
  }
  return numbers;
}

// A value, or a list of values joined by commas.
std::string YamlSection::setting_text(const YAML::Node& node, const std::string& actual) const {
  if (!node.IsSequence()) return scalar(node, actual, "a value or a list of values");
  std::string text;
  for (size_t i = 0; i < node.size(); ++i) {
    if (i > 0) text += ',';
    text += scalar(node[i], fmt::format("{}[{}]", actual, i), "a value");
  }
  return text;
}

std::vector<YamlSection::Setting> YamlSection::settings_of(const YAML::Node& node,
                                                           const std::string& actual) const {
  std::vector<Setting> settings;
  if (node.IsNull()) return settings;
  if (!node.IsMap()) {
    throw Error({.what = "wrong kind of value",
                 .where = document_->where(actual, node),
                 .expected = "settings as {name: value}",
                 .got = std::string(kind_name(node))});
  }
  for (const auto& entry : node) {
    const auto name = entry.first.as<std::string>("");
    const std::string path = fmt::format("{}.{}", actual, name);
    const std::string place = document_->where(path, entry.second);
    for (const Setting& other : settings) {
      if (other.name == name) throw Error({.what = "key given twice", .where = place});
    }
    settings.push_back({name, setting_text(entry.second, path), place});
  }
  return settings;
}

std::vector<YamlSection::Setting> YamlSection::settings(std::string_view key) const {
  const auto value = find(key);
  return value ? settings_of(*value, actual_path(key)) : std::vector<Setting>{};
}

std::vector<YamlSection::MetricEntry> YamlSection::metrics(std::string_view key) const {
  const auto value = find(key);
  if (!value || !value->IsSequence() || value->size() == 0) {
    throw Error({.what = fmt::format("'{}' must be a list with at least one metric", key),
                 .where = where(key),
                 .expected = std::string(key_of(key).help),
                 .got = value ? std::string(kind_name(*value)) : "nothing"});
  }
  std::vector<MetricEntry> entries;
  for (size_t i = 0; i < value->size(); ++i) {
    const YAML::Node item = (*value)[i];
    const std::string path = fmt::format("{}[{}]", actual_path(key), i);
    const std::string place = document_->where(path, item);
    if (item.IsScalar()) {
      entries.push_back({item.Scalar(), {}, place});
    } else if (item.IsMap() && item.size() == 1) {
      const auto name = item.begin()->first.as<std::string>("");
      entries.push_back({name, settings_of(item.begin()->second, path + "." + name), place});
    } else {
      throw Error({.what = "a metric is one name with its settings",
                   .where = place,
                   .expected = "bleu, or {bleu: {tokenize: 13a}}",
                   .got = std::string(kind_name(item))});
    }
  }
  return entries;
}

YamlSection YamlSection::section(std::string_view key) const {
  const auto value = find(key);
  if (!value && key_of(key).default_text == kRequired) {
    throw Error({.what = fmt::format("required key '{}' is missing", key),
                 .where = document_->where(actual_, node_),
                 .expected = std::string(key_of(key).help)});
  }
  return YamlSection(*document_, value ? *value : YAML::Node(YAML::NodeType::Undefined),
                     std::string(key_of(key).path), actual_path(key));
}

std::vector<YamlSection> YamlSection::sections(std::string_view key) const {
  const auto value = find(key);
  if (!value || !value->IsSequence() || value->size() == 0) {
    throw Error({.what = fmt::format("'{}' must be a list with at least one entry", key),
                 .where = where(key),
                 .expected = std::string(key_of(key).help),
                 .got = value ? std::string(kind_name(*value)) : "nothing"});
  }
  std::vector<YamlSection> sections;
  for (size_t i = 0; i < value->size(); ++i) {
    YAML::Node item = (*value)[i];
    if (item.IsScalar()) {
      YAML::Node named(YAML::NodeType::Map);
      named["name"] = item;
      item.reset(named);  // plain assignment would write into the document
    }
    sections.push_back(YamlSection(*document_, item, std::string(key_of(key).path) + "[]",
                                   fmt::format("{}[{}]", actual_path(key), i)));
  }
  return sections;
}

}  // namespace skipbench
