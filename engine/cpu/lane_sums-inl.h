// The lanes of many vectors added up together: three instructions a vector instead of eight.
// Included once per instruction set.
#if defined(SKIPBENCH_ENGINE_CPU_LANE_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SKIPBENCH_ENGINE_CPU_LANE_SUMS_INL_H_
#undef SKIPBENCH_ENGINE_CPU_LANE_SUMS_INL_H_
#else
#define SKIPBENCH_ENGINE_CPU_LANE_SUMS_INL_H_
#endif

#include "engine/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR  // one lane: nothing to fold

template <int kCount>
HWY_INLINE void lane_sums(const VF* in, float* out) {
  for (int i = 0; i < kCount; ++i) out[i] = hn::GetLane(in[i]);
}

#else

constexpr int kFoldBlocks = kLanes / 4;  // 128-bit blocks of a vector

// One vector whose block b holds four partial sums of in[b * stride]: lanes l, l + 8 and l + 4,
// l + 12 are added (l + 4 alone where a vector has eight lanes).
HWY_INLINE VF fold_to_blocks(const VF* in, int stride) {
  [[maybe_unused]] const DF d;
  if constexpr (kLanes == 16) {
    const VF a = in[0], c = in[stride], b = in[2 * stride], e = in[3 * stride];
    const VF ab = hn::Add(hn::ConcatLowerLower(d, b, a), hn::ConcatUpperUpper(d, b, a));
    const VF ce = hn::Add(hn::ConcatLowerLower(d, e, c), hn::ConcatUpperUpper(d, e, c));
    // ab = [a0 a1 b0 b1], ce = [c0 c1 e0 e1] in blocks; the sum is [a c b e].
    return hn::Add(hn::OddEvenBlocks(hn::SwapAdjacentBlocks(ce), ab),
                   hn::OddEvenBlocks(ce, hn::SwapAdjacentBlocks(ab)));
  } else if constexpr (kLanes == 8) {
    const VF a = in[0], b = in[stride];
    return hn::Add(hn::ConcatLowerLower(d, b, a), hn::ConcatUpperUpper(d, b, a));
  } else {
    return in[0];
  }
}

// out[i] = sum of the lanes of in[i]; kCount is a multiple of kFoldBlocks. The order within a
// vector is that of a binary tree over halves: the same for every kCount.
template <int kCount>
HWY_INLINE void lane_sums(const VF* in, float* out) {
  const DF d;
  if constexpr (kCount > 4 * kFoldBlocks) {
    lane_sums<4 * kFoldBlocks>(in, out);
    lane_sums<kCount - 4 * kFoldBlocks>(in + 4 * kFoldBlocks, out + 4 * kFoldBlocks);
  } else {
    static_assert(kCount % kFoldBlocks == 0);
    constexpr int kFolded = kCount / kFoldBlocks;  // 1 to 4; missing ones repeat the last
    const hn::RepartitionToWide<DF> d64;
    VF f[4];
    unroll<4>([&](auto i) HWY_ATTR {
      f[i] = i < kFolded ? fold_to_blocks(in + (i < kFolded ? i : 0), kFolded) : f[kFolded - 1];
    });
    // Within each block: lanes 0 + 2 and 1 + 3 of two vectors side by side, then these two.
    const VF p = hn::Add(hn::InterleaveLower(d, f[0], f[1]), hn::InterleaveUpper(d, f[0], f[1]));
    const VF q = hn::Add(hn::InterleaveLower(d, f[2], f[3]), hn::InterleaveUpper(d, f[2], f[3]));
    const auto p64 = hn::BitCast(d64, p);
    const auto q64 = hn::BitCast(d64, q);
    const VF sums = hn::Add(hn::BitCast(d, hn::InterleaveLower(d64, p64, q64)),
                            hn::BitCast(d, hn::InterleaveUpper(d64, p64, q64)));
    if constexpr (kFolded == 4) {
      hn::StoreU(sums, d, out);
    } else {
      alignas(64) float lanes[kLanes];  // [block][4], of which kFolded count
      hn::Store(sums, d, lanes);
      for (int i = 0; i < kCount; ++i) out[i] = lanes[i / kFolded * 4 + i % kFolded];
    }
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard, per instruction set
