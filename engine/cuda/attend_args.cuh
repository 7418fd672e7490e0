// Arguments of the attention kernels made from those of the operation.
#pragma once

#include "engine/cuda/heads.cuh"
#include "engine/cuda/operations.h"

namespace skipbench::cuda {

struct AttendKernelArgs {
  HeadLayout heads;
  const int32_t* sequence = nullptr;
  const int32_t* position = nullptr;
  int64_t rows = 0;
  Rows qkv;
  Rows out;
  Cache cache;
  int window = 0;  // 0: all earlier positions
  float scale = 1;
  bool alibi = false;
};

inline AttendKernelArgs attend_kernel_args(const AttendArgs& args) {
  return {head_layout(*args.config),
          args.rows.sequence,
          args.rows.position,
          args.rows.rows,
          rows_of(args.qkv),
          rows_of(args.out),
          device_cache(args.cache),
          args.window,
          static_cast<float>(args.config->attention_scale),
          args.config->position == PositionKind::kAlibi};
}

// First position that a row at `last` sees.
__device__ __forceinline__ int64_t first_seen(const AttendKernelArgs& args, int64_t last) {
  return args.window > 0 && last >= args.window ? last - args.window + 1 : 0;
}

}  // namespace skipbench::cuda
