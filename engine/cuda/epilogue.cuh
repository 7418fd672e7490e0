// Bias, activation, residual and the one rounding: what both ways of `linear` end with.
#pragma once

#include "engine/cuda/activation.cuh"
#include "engine/cuda/elements.cuh"

namespace skipbench::cuda {

struct LinearEnd {
  Epilogue epilogue = Epilogue::kNone;
  Activation activation = Activation::kSilu;
  const float* bias = nullptr;  // [n], for kGated [2 n]; or null
  int64_t n = 0;                // columns of out
  Rows residual;                // data null: none
  Rows out;
};

// Output [row, column] of the sum `y` of its projection row and, for kGated, `up` of row n +
// column.
__device__ __forceinline__ void finish_output(const LinearEnd& end, int64_t row, int64_t column,
                                              float y, float up) {
  if (end.bias != nullptr) y += end.bias[column];
  if (end.epilogue != Epilogue::kNone) y = activate(end.activation, y);
  if (end.epilogue == Epilogue::kGated) {
    if (end.bias != nullptr) up += end.bias[end.n + column];
    y *= up;
  }
  if (end.residual.data != nullptr) {
    y += load_element(end.residual.type, row_of(end.residual, row), column);
  }
  store_element(end.out.type, row_of(end.out, row), column, y);
}

}  // namespace skipbench::cuda
