// YAML read through the table of keys: every value knows its place for messages.
#pragma once

#include <yaml-cpp/yaml.h>

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/sweep/config_keys.h"

namespace skipbench {

// A parsed file with what it includes, the command line's overrides and its defaults put in.
struct YamlDocument {
  std::string path;
  YAML::Node root;
  // Which file a key path's value stands in, where that is not `path`.
  std::map<std::string, std::string> origins;
  // Actual key paths ("datasets[0].limit") that --set gave.
  std::vector<std::string> overridden;

  // `overrides`: "KEY=VALUE", KEY dotted; a list's item by number or by its `name`
  // ("datasets.de-en.limit=5"). Throws Error with file:line for what is no YAML.
  static YamlDocument load(const std::string& path, std::span<const std::string> overrides);

  // Puts `value`, a node of this document that stands at `from`, at dotted key path `to`.
  void set(const std::string& to, const YAML::Node& value, const std::string& from);

  // "FILE:LINE: KEY" of a value, or "--set KEY".
  std::string where(const std::string& key_path, const YAML::Node& node) const;
  const std::string& origin_of(const std::string& key_path) const;
};

// A relative path is meant from the working directory, or else, where it exists there, from the
// configuration's folder.
std::string here_or_beside(const std::string& file, const std::string& config_path);

// A mapping of the file and its place in the table. Creating one checks its keys: an unknown one
// throws Error with file:line, the key path and the known keys, the nearest first.
class YamlSection {
 public:
  static YamlSection root(const YamlDocument& document);

  bool has(std::string_view key) const;
  // Where the key stands, or where the section does when the key is absent.
  std::string where(std::string_view key) const;

  // Values by the table's type; absent keys give the table's default. Throw Error naming the key,
  // what it should be, and its range.
  std::string text(std::string_view key) const;
  std::string path(std::string_view key) const;
  int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;
  std::vector<std::string> texts(std::string_view key) const;
  std::vector<std::string> paths(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;
  // The items of a list as they stand in the document; a bare value is a list of one.
  std::vector<YAML::Node> nodes(std::string_view key) const;
  std::vector<double> numbers(std::string_view key) const;

  // A free setting: name, value as written and where.
  struct Setting {
    std::string name;
    std::string value;
    std::string where;
  };
  std::vector<Setting> settings(std::string_view key) const;

  struct MetricEntry {
    std::string name;
    std::vector<Setting> settings;
    std::string where;
  };
  std::vector<MetricEntry> metrics(std::string_view key) const;

  YamlSection section(std::string_view key) const;  // empty when absent
  std::vector<YamlSection> sections(std::string_view key) const;

 private:
  YamlSection(const YamlDocument& document, YAML::Node node, std::string generic,
              std::string actual);

  const ConfigKey& key_of(std::string_view key) const;
  std::optional<YAML::Node> find(std::string_view key) const;
  std::string actual_path(std::string_view key) const;
  std::string scalar(const YAML::Node& node, const std::string& actual,
                     std::string_view kind) const;
  std::vector<std::string> scalars(std::string_view key, std::string_view kind,
                                   std::vector<std::string>* places) const;
  std::string setting_text(const YAML::Node& node, const std::string& actual) const;
  std::vector<Setting> settings_of(const YAML::Node& node, const std::string& actual) const;
  double number(const std::string& text, const ConfigKey& key, const std::string& where,
                bool whole) const;
  std::string resolve_path(std::string text, const std::string& where,
                           const std::string& file_of_value) const;

  const YamlDocument* document_;
  YAML::Node node_;
  std::string generic_;  // "datasets[]"
  std::string actual_;   // "datasets[0]"
};

}  // namespace skipbench
