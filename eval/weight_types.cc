#include "eval/weight_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/weights/memory_plan.h"

namespace skipbench {

std::string weight_types(const ModelWeights& weights) {
  std::vector<std::pair<int64_t, std::string>> types;
  for (const auto& [type, count] : count_weights(weights).matrices) {
    types.emplace_back(count.tensors, dtype_name(type));
  }
  if (types.size() == 1) return types.front().second;
  std::stable_sort(types.begin(), types.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text;
  for (const auto& [tensors, name] : types) {
    text += text.empty() ? fmt::format("{} {} tensors", name, tensors)
                         : fmt::format(", {} {}", name, tensors);
  }
  return text;
}

}  // namespace skipbench
