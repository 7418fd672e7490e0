// YAML text to nodes. What could not be walked to its end is refused before it is built.
#pragma once

#include <yaml-cpp/yaml.h>

#include <string>

namespace skipbench {

// A whole YAML file or text: one document in UTF-8, undefined where there is no value. Throw Error
// with file and line for what is none, for an alias inside its own anchor, and for more values
// (aliases written out) or a deeper nesting than a configuration can have.
YAML::Node read_yaml(const std::string& path);
YAML::Node parse_yaml(const std::string& text, const std::string& where);

}  // namespace skipbench
