// `include` and `defaults` of a configuration: both put values where the parser looks for them.
#pragma once

#include <string>

#include "eval/sweep/yaml_section.h"

namespace skipbench {

// `document`'s file and those that it includes as one tree: maps are joined key by key, of any
// other value the including file's stands. Throws Error for files that include each other.
void load_with_includes(YamlDocument& document);

// Gives every item of `datasets` and `strategies` the keys of `defaults` that it lacks.
void apply_defaults(YamlDocument& document);

// A whole YAML file or text. Throw Error with file and line for what is none.
YAML::Node read_yaml(const std::string& path);
YAML::Node parse_yaml(const std::string& text, const std::string& where);

}  // namespace skipbench
