// The tensors of a model as a file format offers them, by name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/weights/weight.h"

namespace skipbench {

class TensorTable {
 public:
  virtual ~TensorTable() = default;

  // Tensor as [rows, cols] (vectors have rows = 1), or nullopt when there is none of that name.
  // Throws Error for a tensor of a type or rank that the engine does not read.
  virtual std::optional<Weight> find(std::string_view name) const = 0;
  virtual std::vector<std::string> names() const = 0;
  // "FILE: tensor 'NAME' at byte N" for messages; only the file for a tensor that is not there.
  virtual std::string where(std::string_view name) const = 0;
};

}  // namespace skipbench
