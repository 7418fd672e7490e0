#include "engine/weights/tensor_provider.h"

#include <fmt/format.h>

#include <cassert>
#include <cstring>

#include "engine/base/error.h"

namespace skipbench {
namespace {

std::string shape_text(int64_t rows, int64_t cols) {
  return rows == 1 ? fmt::format("[{}]", cols) : fmt::format("[{}, {}]", rows, cols);
}

}  // namespace

Weight FileTensors::checked(const std::string& name, int64_t rows, int64_t cols) {
  const auto weight = table_.find(name);
  if (!weight) {
    throw Error({.what = fmt::format("tensor '{}' is missing", name),
                 .where = table_.where(name),
                 .expected = fmt::format("a tensor of shape {}", shape_text(rows, cols))});
  }
  if (weight->rows != rows || weight->cols != cols) {
    throw Error({.what = "wrong shape for the configuration",
                 .where = table_.where(name),
                 .expected = shape_text(rows, cols),
                 .got = shape_text(weight->rows, weight->cols)});
  }
  used_.insert(name);
  return *weight;
}

Weight FileTensors::matrix(const std::string& name, int64_t rows, int64_t cols) {
  return checked(name, rows, cols);
}

Vector FileTensors::vector(const std::string& name, int64_t size) {
  const Weight weight = checked(name, 1, size);
  if (is_quantised(weight.type)) {
    throw Error({.what = "a norm or bias must not be quantised",
                 .where = table_.where(name),
                 .expected = "f32, f16 or bf16",
                 .got = std::string(dtype_name(weight.type))});
  }
  return to_floats(weight.type, weight.data, size);
}

void FileTensors::refuse_unused(bool (*is_harmless)(std::string_view name)) const {
  for (const std::string& name : table_.names()) {
    if (used_.contains(name) || is_harmless(name)) continue;
    throw Error({.what = "the file has a tensor that the configuration does not use",
                 .where = table_.where(name),
                 .hint = "the model needs something that the engine does not do, or its "
                         "configuration belongs to another model"});
  }
}

Vector to_floats(DType type, const std::byte* data, int64_t count) {
  assert(!is_quantised(type));
  Vector values(count);
  if (type == DType::kF32) {
    std::memcpy(values.data(), data, count * sizeof(float));
    return values;
  }
  for (int64_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, data + 2 * i, sizeof(bits));
    values[i] = type == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
  }
  return values;
}

}  // namespace skipbench
