#include "engine/cpu/operations.h"

namespace skipbench::cpu {
namespace {

void scale_row(const Matrix& matrix, int64_t row, float factor) {
  const int64_t begin = row * matrix.stride;
  if (matrix.type == DType::kF32) {
    float* values = static_cast<float*>(matrix.data) + begin;
    for (int64_t c = 0; c < matrix.cols; ++c) values[c] *= factor;
    return;
  }
  uint16_t* values = static_cast<uint16_t*>(matrix.data) + begin;
  const bool half = matrix.type == DType::kF16;
  for (int64_t c = 0; c < matrix.cols; ++c) {
    const float scaled = (half ? f16_to_f32(values[c]) : bf16_to_f32(values[c])) * factor;
    values[c] = half ? f32_to_f16(scaled) : f32_to_bf16(scaled);
  }
}

}  // namespace

void scale(Context& context, const ScaleArgs& args) {
  context.pool.parallel_for(args.rows.rows, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) scale_row(args.rows, r, args.factor);
  });
}

}  // namespace skipbench::cpu
