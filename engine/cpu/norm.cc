#include "engine/cpu/operations.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/cpu/norm.cc"
// clang-format off
#include "hwy/foreach_target.h"  // must come before highway.h
// clang-format on
#include "engine/cpu/norm_row-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

void norm_rows(const NormArgs& args, Scratch& scratch, int64_t begin, int64_t end) {
  const Matrix& in = args.in;
  const Matrix& out = args.out;
  float* row = scratch.get<float>(Slot::kInput, in.cols);
  scratch.prepared_call = 0;  // the slot no longer holds a linear call's input
  for (int64_t r = begin; r < end; ++r) {
    convert_row_to_f32(in.type, bytes_at(in.data, r * in.stride * block_bytes(in.type)), in.cols,
                       row);
    norm_row(args.kind, args.epsilon, args.weights->gain.data(), data_or_null(args.weights->bias),
             row, in.cols, row);
    convert_row_from_f32(row, in.cols, out.type,
                         bytes_at(out.data, r * out.stride * block_bytes(out.type)));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skipbench::cpu {
namespace {
HWY_EXPORT(norm_rows);
}

void norm(Context& context, const NormArgs& args) {
  context.pool.parallel_for(args.in.rows, 4, [&](int64_t begin, int64_t end, int thread) {
    HWY_DYNAMIC_DISPATCH(norm_rows)(args, context.thread_scratch[thread], begin, end);
  });
}

}  // namespace skipbench::cpu
#endif  // HWY_ONCE
