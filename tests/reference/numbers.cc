#include <cmath>
#include <cstring>

#include "tests/reference/reference.h"

namespace skipbench::reference {

double element(DType type, const void* data, int64_t index) {
  const auto* bytes = static_cast<const std::byte*>(data) + index * block_bytes(type);
  if (type == DType::kF32) {
    float value;
    std::memcpy(&value, bytes, sizeof(value));
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return type == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

double weight_element(const Weight& weight, int64_t row, int64_t col) {
  const std::byte* start = weight.data + row * bytes_of(weight.type, weight.cols);
  if (!is_quantised(weight.type)) return element(weight.type, start, col);
  const std::byte* block = start + col / kQuantBlock * block_bytes(weight.type);
  const int64_t i = col % kQuantBlock;
  const double d = element(DType::kF16, block, 0);
  if (weight.type == DType::kQ8_0) return d * static_cast<int8_t>(block[2 + i]);
  const bool has_min = weight.type == DType::kQ4_1;
  const auto packed = static_cast<unsigned>(block[(has_min ? 4 : 2) + i % 16]);
  const double q = i < 16 ? packed & 15u : packed >> 4;
  if (!has_min) return d * (q - 8);
  return static_cast<float>(d * q + element(DType::kF16, block, 1));
}

DoubleMatrix to_double(const Weight& weight) {
  DoubleMatrix out(weight.rows, weight.cols);
  for (int64_t r = 0; r < weight.rows; ++r) {
    for (int64_t c = 0; c < weight.cols; ++c) out.at(r, c) = weight_element(weight, r, c);
  }
  return out;
}

DoubleMatrix to_double(const Matrix& matrix) {
  DoubleMatrix out(matrix.rows, matrix.cols);
  for (int64_t r = 0; r < matrix.rows; ++r) {
    for (int64_t c = 0; c < matrix.cols; ++c) {
      out.at(r, c) = element(matrix.type, matrix.data, r * matrix.stride + c);
    }
  }
  return out;
}

double rounding_error(DType type, double value) {
  switch (type) {
    case DType::kF16:
      return std::fabs(value) * 0x1p-11 + 0x1p-25;  // half the least subnormal
    case DType::kBF16:
      return std::fabs(value) * 0x1p-8;
    default:
      return std::fabs(value) * kUnit;
  }
}

}  // namespace skipbench::reference
