// What tells two cells apart.
#pragma once

#include <string>
#include <vector>

namespace skipbench {

// Keys of cells.resolved whose values differ, those that one side lacks included, in alphabetical
// order. Text that is no JSON object has no keys.
std::vector<std::string> differing_settings(const std::string& resolved_a,
                                            const std::string& resolved_b);

}  // namespace skipbench
