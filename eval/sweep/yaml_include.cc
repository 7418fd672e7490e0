#include "eval/sweep/yaml_include.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "engine/base/error.h"

namespace skipbench {
namespace {

constexpr size_t kDeepestInclude = 16;

std::string joined(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

// Notes that `node` and all below it stand in `file`.
void note_origin(YamlDocument& document, const std::string& path, const YAML::Node& node,
                 const std::string& file) {
  document.origins[path] = file;
  if (!node.IsMap()) return;
  for (const auto& entry : node) {
    note_origin(document, joined(path, entry.first.as<std::string>("")), entry.second, file);
  }
}

void merge(YamlDocument& document, YAML::Node into, const YAML::Node& from, const std::string& path,
           const std::string& file) {
  for (const auto& entry : from) {
    const auto key = entry.first.as<std::string>("");
    const std::string below = joined(path, key);
    if (key == "include" && path.empty()) continue;
    const YAML::Node known = into;  // operator[] of a non-const node would add the key
    const bool exists = known[key].IsDefined();
    if (exists && known[key].IsMap() && entry.second.IsMap()) {
      merge(document, into[key], entry.second, below, file);
      continue;
    }
    if (exists) into.remove(key);
    into.force_insert(entry.first, entry.second);
    std::erase_if(document.origins,
                  [&](const auto& origin) { return origin.first.starts_with(below + "."); });
    note_origin(document, below, entry.second, file);
  }
}

YAML::Node load_tree(YamlDocument& document, const std::string& file,
                     std::vector<std::string> chain) {
  if (std::find(chain.begin(), chain.end(), file) != chain.end() ||
      chain.size() > kDeepestInclude) {
    throw Error({.what = "a configuration includes itself", .where = chain.back(), .got = file});
  }
  chain.push_back(file);
  YAML::Node own = read_yaml(file);
  if (!own.IsMap()) {
    throw Error({.what = "not a configuration",
                 .where = file + ":1",
                 .expected = "keys with values, as in configs/quickstart.yaml"});
  }
  YAML::Node tree(YAML::NodeType::Map);
  const YAML::Node known = own;
  if (known["include"].IsDefined()) {
    // Read as any key of the table is: one path or several, ${} replaced.
    YamlDocument alone{.path = file};
    alone.root["include"] = own["include"];
    for (const std::string& included : YamlSection::root(alone).paths("include")) {
      merge(document, tree, load_tree(document, included, chain), "", included);
    }
  }
  merge(document, tree, own, "", file);
  return tree;
}

}  // namespace

void load_with_includes(YamlDocument& document) {
  const YAML::Node own = read_yaml(document.path);
  if (own.IsMap() && !own["include"].IsDefined()) {
    document.root = own;
    return;
  }
  document.root = load_tree(document, document.path, {});
}

void apply_defaults(YamlDocument& document) {
  const YAML::Node root = document.root;
  const YAML::Node defaults = root["defaults"];
  if (!defaults.IsDefined() || !defaults.IsMap()) return;  // the parser says what is wrong
  for (const char* list_name : {"datasets", "strategies"}) {
    const YAML::Node own = defaults[list_name];
    const YAML::Node list = root[list_name];
    if (!own.IsDefined() || !own.IsMap() || !list.IsDefined() || !list.IsSequence()) continue;
    for (size_t i = 0; i < list.size(); ++i) {
      YAML::Node item = list[i];
      if (item.IsScalar()) {  // a bare name is {name: ...}
        YAML::Node named(YAML::NodeType::Map);
        named.force_insert("name", YAML::Node(item.Scalar()));
        item = named;  // assigns through to the document
      }
      if (!item.IsMap()) continue;
      for (const auto& entry : own) {
        const auto key = entry.first.as<std::string>("");
        const YAML::Node present = item;
        if (present[key].IsDefined()) continue;
        item.force_insert(entry.first, entry.second);
        const auto origin = document.origins.find(fmt::format("defaults.{}.{}", list_name, key));
        document.origins[fmt::format("{}[{}].{}", list_name, i, key)] =
            origin == document.origins.end() ? document.path : origin->second;
      }
    }
  }
}

YAML::Node read_yaml(const std::string& path) {
  std::error_code ignored;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, ignored)) {
    throw Error({.what = "cannot read the configuration",
                 .where = path,
                 .hint = "examples are in configs/"});
  }
  std::ostringstream text;
  text << file.rdbuf();
  return parse_yaml(text.str(), path);
}

// One document, whole: YAML::Load would leave out what follows it.
YAML::Node parse_yaml(const std::string& text, const std::string& where) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      throw Error({.what = "more than one YAML document",
                   .where = fmt::format("{}:{}", where, documents[1].Mark().line + 1),
                   .expected = "one value, and nothing after it"});
    }
    return documents.empty() ? YAML::Node() : documents[0];
  } catch (const YAML::Exception& error) {
    throw Error(
        {.what = "not valid YAML: " + error.msg,
         .where = error.mark.is_null() ? where : fmt::format("{}:{}", where, error.mark.line + 1)});
  }
}

}  // namespace skipbench
