#include <cassert>
#include <cmath>

#include "engine/cpu/operations.h"
#include "engine/cpu/softmax_chunks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/cpu/next_token.cc"
// clang-format off
#include "hwy/foreach_target.h"  // must come before highway.h
// clang-format on
#include "engine/cpu/simd-inl.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

// `count` logits from `first` on, the surplus lanes and NaN as -inf: a NaN is never chosen.
HWY_INLINE VF load_logits(const float* logits, int64_t first, int64_t count) {
  const DF d;
  const VF lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  VF value = load_some(DType::kF32, logits + first, count);
  if (count < kLanes) value = hn::IfThenElse(hn::FirstN(d, count), value, lowest);
  return hn::IfThenElse(hn::IsNaN(value), lowest, value);
}

// Top two values and the first place of the top one; places count from the chunk's begin.
HWY_INLINE void find_top(const float* logits, int64_t count, SoftmaxChunk& chunk) {
  const DF d;
  const hn::RebindToSigned<DF> di;
  const VF lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  VF top = lowest;
  VF second = lowest;
  auto step_of_top = hn::Zero(di);
  for (int64_t i = 0; i < count; i += kLanes) {
    const VF value = load_logits(logits, i, count - i);
    const auto better = hn::Gt(value, top);
    second = hn::Max(second, hn::Min(top, value));
    step_of_top = hn::IfThenElse(hn::RebindMask(di, better), hn::Set(di, static_cast<int32_t>(i)),
                                 step_of_top);
    top = hn::Max(top, value);
  }
  float tops[kLanes] = {};
  float seconds[kLanes] = {};
  int32_t steps[kLanes] = {};
  hn::StoreU(top, d, tops);
  hn::StoreU(second, d, seconds);
  hn::StoreU(step_of_top, di, steps);
  for (int32_t lane = 0; lane < kLanes; ++lane) {
    const int32_t id = steps[lane] + lane;
    const bool first = tops[lane] == chunk.top && id < chunk.top_id;
    if (lane == 0 || tops[lane] > chunk.top || first) {
      chunk.second = std::max({chunk.second, lane == 0 ? chunk.second : chunk.top, seconds[lane]});
      chunk.top = tops[lane];
      chunk.top_id = id;
    } else {
      chunk.second = std::max({chunk.second, tops[lane], seconds[lane]});
    }
  }
}

void reduce_chunk(const float* logits, int64_t first, int64_t count, bool with_entropy,
                  SoftmaxChunk& chunk) {
  const DF d;
  chunk = SoftmaxChunk();
  find_top(logits + first, count, chunk);
  chunk.top_id += static_cast<int32_t>(first);
  if (!std::isfinite(chunk.top)) return;
  const VF top = hn::Set(d, chunk.top);
  VF sum = hn::Zero(d);
  VF weighted = hn::Zero(d);
  for (int64_t i = 0; i < count; i += kLanes) {
    const VF shifted = hn::Sub(load_logits(logits + first, i, count - i), top);
    const VF e = hn::Exp(d, shifted);
    sum = hn::Add(sum, e);
    if (!with_entropy) continue;
    // exp(-inf) * -inf would be NaN; below -100 the product is nothing beside the top's own 1.
    const VF bounded = hn::Max(shifted, hn::Set(d, -100.0f));
    weighted = hn::MulAdd(e, bounded, weighted);
  }
  chunk.sum = sum_of_lanes(sum);
  chunk.weighted = sum_of_lanes(weighted);
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skipbench::cpu {
namespace {

HWY_EXPORT(reduce_chunk);

NextToken to_next_token(const SoftmaxChunk& row, bool with_entropy) {
  NextToken next;
  next.token = row.top_id;
  next.top_logit = row.top;
  next.second_logit = row.second;
  if (row.sum > 0) {
    const double log_sum = std::log(row.sum);
    next.top_probability = static_cast<float>(1.0 / row.sum);
    next.second_probability = static_cast<float>(
        std::exp(static_cast<double>(row.second) - static_cast<double>(row.top)) / row.sum);
    // H = log sum exp(x) - sum p x, both relative to the top.
    if (with_entropy) next.entropy = static_cast<float>(log_sum - row.weighted / row.sum);
  } else if (row.top > 0) {  // an infinite logit takes all
    next.top_probability = 1;
  }
  return next;
}

}  // namespace

// A NaN logit counts as -inf. Where no logit is finite the token is still defined: the first +inf,
// else id 0 with probability 0.
void next_token(Context& context, const NextTokenArgs& args) {
  const Matrix& logits = args.logits;
  assert(logits.type == DType::kF32 && logits.cols > 0);
  const int64_t chunks = softmax_chunks(logits.cols);
  auto* partial = context.shared_scratch.get<SoftmaxChunk>(Slot::kPartial, logits.rows * chunks);
  context.pool.parallel_for(logits.rows * chunks, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const float* row = static_cast<const float*>(logits.data) + i / chunks * logits.stride;
      const int64_t first = i % chunks * kSoftmaxChunk;
      const int64_t count = std::min(kSoftmaxChunk, logits.cols - first);
      HWY_DYNAMIC_DISPATCH(reduce_chunk)(row, first, count, args.with_entropy, partial[i]);
    }
  });
  for (int64_t r = 0; r < logits.rows; ++r) {
    args.out[r] = to_next_token(merge_chunks(partial + r * chunks, chunks), args.with_entropy);
  }
}

}  // namespace skipbench::cpu
#endif  // HWY_ONCE
