#include <algorithm>
#include <cassert>
#include <cmath>

#include "engine/cpu/operations.h"

namespace skipbench::cpu {
namespace {

float value_at(const Matrix& matrix, int64_t row, int64_t col) {
  const int64_t index = row * matrix.stride + col;
  switch (matrix.type) {
    case DType::kF16:
      return f16_to_f32(static_cast<const uint16_t*>(matrix.data)[index]);
    case DType::kBF16:
      return bf16_to_f32(static_cast<const uint16_t*>(matrix.data)[index]);
    default:
      return static_cast<const float*>(matrix.data)[index];
  }
}

}  // namespace

// One row a thread, in the order of the columns: a row's bits depend on nothing else.
void cosine(Context& context, const CosineArgs& args) {
  const Matrix& a = args.a;
  const Matrix& b = args.b;
  assert(a.type == b.type && a.rows == b.rows && a.cols == b.cols);
  context.pool.parallel_for(a.rows, 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      double dot = 0, squares_a = 0, squares_b = 0;
      for (int64_t c = 0; c < a.cols; ++c) {
        const double x = value_at(a, r, c);
        const double y = value_at(b, r, c);
        dot += x * y;
        squares_a += x * x;
        squares_b += y * y;
      }
      const double norms = std::sqrt(squares_a) * std::sqrt(squares_b);
      args.out[r] = norms > 0 ? std::clamp(dot / norms, -1.0, 1.0) : 0.0;
    }
  });
}

}  // namespace skipbench::cpu
