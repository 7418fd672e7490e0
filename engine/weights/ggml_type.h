// Tensor types as GGUF numbers them (enum ggml_type in ggml.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/base/dtype.h"

namespace skipbench {

struct GgmlType {
  uint32_t id;
  std::string_view name;
  uint32_t block_elements;
  uint32_t block_bytes;
  std::optional<DType> dtype;  // empty: the engine does not read it
};

// Null for a number that ggml does not use.
const GgmlType* find_ggml_type(uint32_t id);

}  // namespace skipbench
