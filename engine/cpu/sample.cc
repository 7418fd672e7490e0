#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "engine/cpu/operations.h"
#include "engine/cpu/softmax_chunks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/cpu/sample.cc"
// clang-format off
#include "hwy/foreach_target.h"  // must come before highway.h
// clang-format on
#include "engine/cpu/simd-inl.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

// In place: `count` uniform numbers u in (0, 1) become Gumbel noise, -log(-log(1 - u)).
void to_gumbel_noise(float* noise, int64_t count) {
  const DF d;
  for (int64_t i = 0; i < count; i += kLanes) {
    const VF u = load_some(DType::kF32, noise + i, count - i);
    const VF exponential = hn::Neg(hn::Log1p(d, hn::Neg(u)));
    store_some(DType::kF32, hn::Neg(hn::Log(d, exponential)), noise + i, count - i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skipbench::cpu {
namespace {

HWY_EXPORT(to_gumbel_noise);

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// A NaN is never drawn.
float logit_at(const float* logits, int64_t i) {
  return std::isnan(logits[i]) ? kLowest : logits[i];
}

// The k-th largest logit of a row; -inf where all may be drawn.
float least_drawn(const float* logits, int64_t cols, int top_k, float* sorted) {
  if (top_k == 0 || top_k >= cols) return kLowest;
  for (int64_t i = 0; i < cols; ++i) sorted[i] = logit_at(logits, i);
  std::nth_element(sorted, sorted + top_k - 1, sorted + cols, std::greater<>());
  return sorted[top_k - 1];
}

struct Best {
  float value = kLowest;
  int32_t id = -1;  // none above -inf
};

// Ties go to the lower id.
Best best_of_chunk(const float* logits, int64_t first, int64_t count, float least,
                   float inverse_temperature, uint64_t stream) {
  alignas(64) float noise[kSoftmaxChunk];
  for (int64_t i = 0; i < count; ++i) noise[i] = noise_uniform(stream, first + i);
  HWY_DYNAMIC_DISPATCH(to_gumbel_noise)(noise, count);
  Best best;
  for (int64_t i = 0; i < count; ++i) {
    const float logit = logit_at(logits, first + i);
    const float value = logit * inverse_temperature + noise[i];
    if (logit < least || !(value > best.value)) continue;
    best = {value, static_cast<int32_t>(first + i)};
  }
  return best;
}

}  // namespace

void sample(Context& context, const SampleArgs& args) {
  const Matrix& logits = args.logits;
  assert(logits.type == DType::kF32 && logits.cols > 0 && args.sampling.temperature > 0);
  const auto row_at = [&](int64_t r) {
    return static_cast<const float*>(logits.data) + r * logits.stride;
  };
  const int64_t chunks = softmax_chunks(logits.cols);
  auto* best = context.shared_scratch.get<Best>(Slot::kPartial, logits.rows * chunks);
  auto* least = context.shared_scratch.get<float>(Slot::kPositions, logits.rows);
  context.pool.parallel_for(logits.rows, 1, [&](int64_t begin, int64_t end, int thread) {
    auto* sorted = context.thread_scratch[static_cast<size_t>(thread)].get<float>(Slot::kScores,
                                                                                  logits.cols);
    for (int64_t r = begin; r < end; ++r) {
      least[r] = least_drawn(row_at(r), logits.cols, args.sampling.top_k, sorted);
    }
  });
  const auto inverse_temperature = static_cast<float>(1 / args.sampling.temperature);
  context.pool.parallel_for(logits.rows * chunks, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = i / chunks;
      const int64_t first = i % chunks * kSoftmaxChunk;
      best[i] = best_of_chunk(row_at(r), first, std::min(kSoftmaxChunk, logits.cols - first),
                              least[r], inverse_temperature,
                              noise_stream(args.sampling.seed, args.text[r], args.position[r]));
    }
  });
  for (int64_t r = 0; r < logits.rows; ++r) {
    const Best* row = best + r * chunks;
    const Best* top = std::max_element(
        row, row + chunks, [](const Best& a, const Best& b) { return a.value < b.value; });
    if (top->id >= 0) args.out[r].token = top->id;
  }
}

}  // namespace skipbench::cpu
#endif  // HWY_ONCE
