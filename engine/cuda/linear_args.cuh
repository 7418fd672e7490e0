// Arguments of the linear kernels made from those of the operation.
#pragma once

#include "engine/cuda/epilogue.cuh"
#include "engine/cuda/norm_row.cuh"
#include "engine/cuda/operations.h"
#include "engine/cuda/weight_pieces.cuh"

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

// Most parts of a projection that the kernels for few rows take.
constexpr int kMaxParts = 4;

// What the kernels for few rows take; the parts have one type.
struct FewRowsArgs {
  DeviceMatrix parts[kMaxParts];
  int num_parts = 0;
  Norm norm;
  Rows in;
  int64_t rows = 0;
  int k = 0;
  LinearEnd end;
};

// Without parts.
inline FewRowsArgs few_rows_args_without_parts(Context& context, const LinearArgs& args) {
  FewRowsArgs out;
  out.norm = device_norm(context, args.norm);
  out.in = rows_of(args.in);
  out.rows = args.in.rows;
  out.k = static_cast<int>(args.in.cols);
  out.end = device_end(context, args);
  return out;
}

inline FewRowsArgs few_rows_args(Context& context, const LinearArgs& args) {
  FewRowsArgs out = few_rows_args_without_parts(context, args);
  for (const Weight& part : args.projection->parts) {
    out.parts[out.num_parts++] = context.weights.matrix(part);
  }
  return out;
}

// One row of weights.
struct WeightRow {
  const std::byte* data = nullptr;
  const uint16_t* scales = nullptr;
};

// Row `row` of the projection, whose parts stand one after another. They have one type and width,
// so one pitch.
__device__ __forceinline__ WeightRow weight_row(const FewRowsArgs& args, int64_t row) {
  WeightRow out{args.parts[0].data, args.parts[0].scales};
  int64_t begin = 0;
  int64_t end = args.parts[0].rows;
#pragma unroll
  for (int p = 1; p < kMaxParts; ++p) {
    if (p >= args.num_parts || row < end) break;
    out = {args.parts[p].data, args.parts[p].scales};
    begin = end;
    end += args.parts[p].rows;
  }
  row -= begin;
  out.data += row * args.parts[0].pitch_bytes;
  if (out.scales != nullptr) {
    out.scales += row * (args.k / kQuantBlock) * scales_per_block(args.parts[0].type);
  }
  return out;
}

}  // namespace skipbench::cuda
