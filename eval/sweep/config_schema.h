// The JSON Schema of a sweep's YAML, from the table that parses it: editors complete and check it.
#pragma once

#include <nlohmann/json.hpp>

namespace skipbench {

// Draft 7. What only the parser can know (names of strategies from plug-ins, files, what an
// `include` adds) the schema lets pass.
nlohmann::ordered_json config_schema();

}  // namespace skipbench
