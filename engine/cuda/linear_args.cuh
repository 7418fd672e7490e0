// Arguments of the linear kernels made from those of the operation.
#pragma once

#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/norm_row.cuh"
#include "engine/cuda/operations.h"

namespace skipbench::cuda {

inline Norm device_norm(Context& context, const NormSpec& norm) {
  if (norm.weights == nullptr) return {};
  return {true, norm.kind, norm.epsilon, context.weights.vector(norm.weights->gain),
          context.weights.vector(norm.weights->bias)};
}

inline LinearEnd device_end(Context& context, const LinearArgs& args) {
  LinearEnd end;
  end.epilogue = args.epilogue;
  end.activation = args.activation;
  end.bias = context.weights.vector(args.projection->bias);
  end.n = args.epilogue == Epilogue::kGated ? args.projection->rows() / 2 : args.projection->rows();
  end.residual = rows_of(args.residual);
  end.out = rows_of(args.out);
  return end;
}

}  // namespace skipbench::cuda
