#include "eval/sweep/yaml_include.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "engine/base/error.h"
#include "eval/sweep/yaml_parse.h"

namespace skipbench {
namespace {

constexpr size_t kDeepestInclude = 16;
constexpr int kMostFiles = 64;
constexpr int64_t kMostMerged = 5'000;
constexpr int kDeepestOrigin = 200;

std::string joined(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

// One document's files put together. What aliases share in one file is shared after a merge, so
// that merging more into it can make it as large or as deep as it likes: all of it is counted.
class IncludeMerge {
 public:
  explicit IncludeMerge(YamlDocument& document) : document_(document) {}

  YAML::Node load_tree(const std::string& file, std::vector<std::string> chain);

 private:
  void merge(YAML::Node into, const YAML::Node& from, const std::string& path,
             const std::string& file);
  void note_origin(const std::string& path, const YAML::Node& node, const std::string& file,
                   int depth);
  void count_merged(const std::string& file);

  YamlDocument& document_;
  int files_ = 0;
  int64_t merged_ = 0;
};

void IncludeMerge::count_merged(const std::string& file) {
  if (++merged_ <= kMostMerged) return;
  throw Error({.what = fmt::format("more than {} keys in a configuration and what it includes",
                                   kMostMerged),
               .where = file});
}

// Notes that `node` and all below it stand in `file`.
void IncludeMerge::note_origin(const std::string& path, const YAML::Node& node,
                               const std::string& file, int depth) {
  count_merged(file);
  if (depth > kDeepestOrigin) throw Error({.what = "keys inside themselves", .where = file});
  document_.origins[path] = file;
  if (!node.IsMap()) return;
  for (const auto& entry : node) {
    note_origin(joined(path, entry.first.as<std::string>("")), entry.second, file, depth + 1);
  }
}

void IncludeMerge::merge(YAML::Node into, const YAML::Node& from, const std::string& path,
                         const std::string& file) {
  for (const auto& entry : from) {
    const auto key = entry.first.as<std::string>("");
    const std::string below = joined(path, key);
    if (key == "include" && path.empty()) continue;
    const YAML::Node known = into;  // operator[] of a non-const node would add the key
    const bool exists = known[key].IsDefined();
    if (exists && known[key].IsMap() && entry.second.IsMap()) {
      count_merged(file);
      merge(into[key], entry.second, below, file);
      continue;
    }
    if (exists) into.remove(key);
    into.force_insert(entry.first, entry.second);
    auto& origins = document_.origins;
    const std::string prefix = below + ".";
    for (auto origin = origins.lower_bound(prefix);
         origin != origins.end() && origin->first.starts_with(prefix);) {
      origin = origins.erase(origin);
    }
    note_origin(below, entry.second, file, 0);
  }
}

YAML::Node IncludeMerge::load_tree(const std::string& file, std::vector<std::string> chain) {
  if (std::find(chain.begin(), chain.end(), file) != chain.end() ||
      chain.size() > kDeepestInclude) {
    throw Error({.what = "a configuration includes itself", .where = chain.back(), .got = file});
  }
  if (++files_ > kMostFiles) {
    throw Error({.what = fmt::format("more than {} files included", kMostFiles),
                 .where = chain.back(),
                 .got = file,
                 .hint = "a file counts each time that it is included"});
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
      merge(tree, load_tree(included, chain), "", included);
    }
  }
  merge(tree, own, "", file);
  return tree;
}

}  // namespace

void load_with_includes(YamlDocument& document) {
  const YAML::Node own = read_yaml(document.path);
  if (own.IsMap() && !own["include"].IsDefined()) {
    document.root = own;
    return;
  }
  document.root = IncludeMerge(document).load_tree(document.path, {});
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

}  // namespace skipbench
