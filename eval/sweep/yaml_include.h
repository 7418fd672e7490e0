// `include` and `defaults` of a configuration: both put values where the parser looks for them.
#pragma once

#include <string>

#include "eval/sweep/yaml_section.h"

namespace skipbench {

// `document`'s file and those that it includes as one tree: maps are joined key by key, of any
// other value the including file's stands. Throws Error for files that include each other, and for
// more of them than a configuration can have.
void load_with_includes(YamlDocument& document);

// Gives every item of `datasets` and `strategies` the keys of `defaults` that it lacks.
void apply_defaults(YamlDocument& document);

}  // namespace skipbench
