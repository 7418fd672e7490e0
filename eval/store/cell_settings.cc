#include "eval/store/cell_settings.h"

#include <nlohmann/json.hpp>
#include <set>

namespace skipbench {

std::vector<std::string> differing_settings(const std::string& resolved_a,
                                            const std::string& resolved_b) {
  using Json = nlohmann::json;
  const Json a = Json::parse(resolved_a, nullptr, /*allow_exceptions=*/false);
  const Json b = Json::parse(resolved_b, nullptr, /*allow_exceptions=*/false);
  std::set<std::string> differ;
  for (const auto& [one, other] : {std::pair(&a, &b), {&b, &a}}) {
    if (!one->is_object()) continue;
    for (const auto& [key, value] : one->items()) {
      if (!other->is_object() || !other->contains(key) || other->at(key) != value) {
        differ.insert(key);
      }
    }
  }
  return {differ.begin(), differ.end()};
}

}  // namespace skipbench
