#include <cassert>

#include "engine/cpu/operations.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/cpu/embed.cc"
// clang-format off
#include "hwy/foreach_target.h"  // must come before highway.h
// clang-format on
#include "engine/cpu/weight_vectors-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

void embed_rows(const EmbedArgs& args, Scratch& scratch, int64_t begin, int64_t end) {
  const Weight& table = *args.embedding;
  const int64_t row_bytes = bytes_of(table.type, table.cols);
  float* row = scratch.get<float>(Slot::kPanel, table.cols);
  with_row_decoder(table.type, [&](auto decoder) {
    using Row = decltype(decoder);
    for (int64_t r = begin; r < end; ++r) {
      const int64_t token = args.rows.token[r];
      assert(token >= 0 && token < table.rows);
      decode_row<Row>(table.data + token * row_bytes, table.cols, row);
      const int64_t offset = r * args.out.stride * block_bytes(args.out.type);
      convert_row_from_f32(row, table.cols, args.out.type, bytes_at(args.out.data, offset));
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skipbench::cpu {
namespace {
HWY_EXPORT(embed_rows);
}

void embed(Context& context, const EmbedArgs& args) {
  context.pool.parallel_for(args.rows.rows, 16, [&](int64_t begin, int64_t end, int thread) {
    HWY_DYNAMIC_DISPATCH(embed_rows)(args, context.thread_scratch[thread], begin, end);
  });
}

}  // namespace skipbench::cpu
#endif  // HWY_ONCE
