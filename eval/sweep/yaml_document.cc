// Loading a YAML file and putting the command line's --set values in.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "engine/base/error.h"
#include "eval/sweep/yaml_include.h"
#include "eval/sweep/yaml_parse.h"
#include "eval/sweep/yaml_section.h"

namespace skipbench {
namespace {

// The item that `name` means: its number, the value of its `name` key, or itself if it is a name.
size_t find_item(const YAML::Node& list, const std::string& name, const std::string& where) {
  size_t index = 0;
  const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), index);
  if (code == std::errc() && end == name.data() + name.size() && index < list.size()) return index;
  std::vector<std::string> known;
  for (size_t i = 0; i < list.size(); ++i) {
    const YAML::Node item = list[i];
    const YAML::Node own = item.IsMap() ? item["name"] : item;
    if (own.IsDefined() && own.IsScalar()) {
      known.push_back(own.as<std::string>(""));
      if (known.back() == name) return i;
    }
    known.push_back(std::to_string(i));
  }
  throw unknown_name("list item", name, known, where);
}

// "datasets[0].limit", as messages have it, is "datasets.0.limit".
std::string dotted(std::string key) {
  std::replace(key.begin(), key.end(), '[', '.');
  std::erase(key, ']');
  return key;
}

// Returns the actual key path ("datasets[0].limit").
std::string apply_override(YAML::Node root, const std::string& text) {
  const std::string place = "--set " + text;
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error({.what = "not KEY=VALUE", .where = place, .expected = "as in --set targets=[2,3]"});
  }
  const YAML::Node value = parse_yaml(text.substr(equals + 1), place);
  if (!value.IsDefined()) {  // left as it is, the default would be taken in silence
    throw Error({.what = "no value",
                 .where = place,
                 .expected = "a value after the `=`",
                 .got = equals + 1 == text.size() ? "nothing" : "a comment",
                 .hint = "quote a text that begins with #; null takes the default"});
  }
  std::string actual;
  YAML::Node node = root;
  std::istringstream keys(dotted(text.substr(0, equals)));
  for (std::string key; std::getline(keys, key, '.');) {
    if (node.IsSequence()) {
      const size_t index = find_item(node, key, place);
      actual += fmt::format("[{}]", index);
      node.reset(node[index]);
    } else if (node.IsScalar() && actual.ends_with(']')) {  // a bare name is {name: ...}
      YAML::Node named;
      named["name"] = node.as<std::string>();
      node = named;  // assigns through to the document
      actual += "." + key;
      node.reset(node[key]);
    } else if (node.IsDefined() && !node.IsNull() && !node.IsMap()) {
      throw Error({.what = fmt::format("'{}' has no keys below it", actual), .where = place});
    } else {
      actual += actual.empty() ? key : "." + key;
      node.reset(node[key]);
    }
  }
  node = value;  // assigns through to the document
  return actual;
}

}  // namespace

YamlDocument YamlDocument::load(const std::string& path, std::span<const std::string> overrides) {
  YamlDocument document;
  document.path = path;
  load_with_includes(document);
  if (!document.root.IsMap()) {
    throw Error({.what = "not a configuration",
                 .where = path + ":1",
                 .expected = "keys with values, as in configs/quickstart.yaml"});
  }
  for (const std::string& text : overrides) {
    document.overridden.push_back(apply_override(document.root, text));
  }
  apply_defaults(document);
  return document;
}

void YamlDocument::set(const std::string& to, const YAML::Node& value, const std::string& from) {
  YAML::Node node = root;
  std::istringstream keys(to);
  std::string above;
  for (std::string key; std::getline(keys, key, '.');) {
    if (node.IsDefined() && !node.IsNull() && !node.IsMap()) {
      throw Error({.what = fmt::format("not a section, so that {} cannot be put into it", from),
                   .where = where(above, node),
                   .expected = "keys with values",
                   .got = node.IsSequence() ? "a list" : "a value"});
    }
    node.reset(node[key]);
    above += above.empty() ? key : "." + key;
  }
  node = value;  // assigns through to the document
  const std::string file = origin_of(from);
  if (file == path) {
    origins.erase(to);
  } else {
    origins[to] = file;
  }
}

// The longest key path that is noted, above or at this one.
const std::string& YamlDocument::origin_of(const std::string& key_path) const {
  for (std::string above = key_path; !above.empty();) {
    if (const auto found = origins.find(above); found != origins.end()) return found->second;
    above.resize(above.find_last_of(".[") == std::string::npos ? 0 : above.find_last_of(".["));
  }
  return path;
}

std::string YamlDocument::where(const std::string& key_path, const YAML::Node& node) const {
  for (const std::string& key : overridden) {
    if (key_path == key || key_path.starts_with(key + ".") || key_path.starts_with(key + "[")) {
      return "--set " + key;
    }
  }
  const YAML::Mark mark = node.IsDefined() ? node.Mark() : YAML::Mark::null_mark();
  const std::string& file = origin_of(key_path);
  std::string place = mark.is_null() ? file : fmt::format("{}:{}", file, mark.line + 1);
  if (!key_path.empty()) place += ": " + key_path;
  return place;
}

}  // namespace skipbench
