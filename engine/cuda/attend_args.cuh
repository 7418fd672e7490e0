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
  const int32_t* source = nullptr;  // KvView::source; attend_decode alone reads it
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
          args.config->position == PositionKind::kAlibi,
          args.cache.source};
}

// First position that a row at `last` sees.
__device__ __forceinline__ int64_t first_seen(const AttendKernelArgs& args, int64_t last) {
  return args.window > 0 && last >= args.window ? last - args.window + 1 : 0;
}

// Which positions of a sequence are there; null: all.
__device__ __forceinline__ const uint8_t* present_of(const AttendKernelArgs& args,
                                                     int64_t sequence) {
  if (args.cache.present == nullptr) return nullptr;
  return args.cache.present + sequence * args.cache.capacity;
}

// Rows [begin, end) of the pass belong to `sequence` and see the positions [first, last].
struct Run {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t sequence = 0;
  int64_t first = 0;
  int64_t last = -1;
};

// The run that begins at row `begin`, up to `limit`.
__device__ __forceinline__ Run run_at(const AttendKernelArgs& args, int64_t begin, int64_t limit) {
  Run run = {begin, begin, args.sequence[begin], INT64_MAX, -1};
  while (run.end < limit && args.sequence[run.end] == run.sequence) {
    const int64_t position = args.position[run.end++];
    run.first = min(run.first, first_seen(args, position));
    run.last = max(run.last, position);
  }
  return run;
}

}  // namespace skipbench::cuda
