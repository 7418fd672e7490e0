#include <cassert>
#include <cstring>

#include "engine/cpu/operations.h"

namespace skipbench::cpu {

// A copy of bytes: `in` and `out` have one type, since both are activations of one backend.
void gather_rows(Context& context, const GatherRowsArgs& args) {
  const Matrix& in = args.in;
  const Matrix& out = args.out;
  assert(in.type == out.type && in.cols == out.cols);
  const int64_t element = block_bytes(in.type);
  const auto* source = static_cast<const std::byte*>(in.data);
  auto* target = static_cast<std::byte*>(out.data);
  context.pool.parallel_for(out.rows, 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      assert(args.index[r] >= 0 && args.index[r] < in.rows);
      std::memcpy(target + r * out.stride * element, source + args.index[r] * in.stride * element,
                  in.cols * element);
    }
  });
}

}  // namespace skipbench::cpu
