#include <algorithm>
#include <cassert>
#include <cmath>

#include "engine/cpu/operations.h"
#include "engine/cpu/softmax_chunks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/cpu/log_prob.cc"
// clang-format off
#include "hwy/foreach_target.h"  // must come before highway.h
// clang-format on
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Maximum and sum of exp(x - maximum) of `count` logits, in f64.
void sum_exponentials(const float* logits, int64_t count, SoftmaxChunk& chunk) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  chunk = SoftmaxChunk();
  for (int64_t i = 0; i < count; ++i) chunk.top = std::max(chunk.top, logits[i]);
  if (!std::isfinite(chunk.top)) return;
  const auto top = hn::Set(d, static_cast<double>(chunk.top));
  auto sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::PromoteTo(d, hn::LoadU(df, logits + i));
    sum = hn::Add(sum, hn::Exp(d, hn::Sub(value, top)));
  }
  chunk.sum = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < count; ++i) {
    chunk.sum += std::exp(static_cast<double>(logits[i]) - static_cast<double>(chunk.top));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skipbench::cpu {
namespace {
HWY_EXPORT(sum_exponentials);
}

void log_prob(Context& context, const LogProbArgs& args) {
  const Matrix& logits = args.logits;
  assert(logits.type == DType::kF32 && logits.cols > 0);
  const int64_t chunks = softmax_chunks(logits.cols);
  auto* partial = context.shared_scratch.get<SoftmaxChunk>(Slot::kPartial, logits.rows * chunks);
  const auto row_of = [&](int64_t r) {
    return static_cast<const float*>(logits.data) + r * logits.stride;
  };
  context.pool.parallel_for(logits.rows * chunks, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % chunks * kSoftmaxChunk;
      const int64_t count = std::min(kSoftmaxChunk, logits.cols - first);
      HWY_DYNAMIC_DISPATCH(sum_exponentials)(row_of(i / chunks) + first, count, partial[i]);
    }
  });
  for (int64_t r = 0; r < logits.rows; ++r) {
    assert(args.target[r] >= 0 && args.target[r] < logits.cols);
    const SoftmaxChunk row = merge_chunks(partial + r * chunks, chunks);
    const double logit = row_of(r)[args.target[r]];
    args.out[r] = logit - static_cast<double>(row.top) - std::log(row.sum);
  }
}

}  // namespace skipbench::cpu
#endif  // HWY_ONCE
