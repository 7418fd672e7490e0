// RMSNorm and LayerNorm of one row, shared by `norm`, `linear` and append_kv.
// Included once per instruction set.
#if defined(SKIPBENCH_ENGINE_CPU_NORM_ROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SKIPBENCH_ENGINE_CPU_NORM_ROW_INL_H_
#undef SKIPBENCH_ENGINE_CPU_NORM_ROW_INL_H_
#else
#define SKIPBENCH_ENGINE_CPU_NORM_ROW_INL_H_
#endif

#include <cmath>

#include "engine/backend.h"
#include "engine/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

// Sum over the row of term(value), value a vector of f32 of the row; the surplus lanes of the last
// vector add nothing.
template <typename Term>
HWY_INLINE float sum_over_row(const float* row, int64_t cols, Term&& term) {
  const DF d;
  VF sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) sum = hn::Add(sum, term(hn::LoadU(d, row + i)));
  if (i < cols) {
    const VF last = term(load_tail_as_f32<DType::kF32>(row + i, cols - i));
    sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(d, cols - i), last));
  }
  return sum_of_lanes(sum);
}

// out = (in - shift) * factor * gain (+ bias); gain [cols], bias [cols] or null; out may be in.
HWY_INLINE void scale_row(const float* in, int64_t cols, float shift, float factor,
                          const float* gain, const float* bias, float* out) {
  const DF d;
  const VF shift_v = hn::Set(d, shift);
  const VF factor_v = hn::Set(d, factor);
  for (int64_t i = 0; i < cols; i += kLanes) {
    const int64_t n = cols - i;
    VF value = hn::Mul(hn::Sub(load_some(DType::kF32, in + i, n), shift_v), factor_v);
    value = hn::Mul(value, load_some(DType::kF32, gain + i, n));
    if (bias != nullptr) value = hn::Add(value, load_some(DType::kF32, bias + i, n));
    store_some(DType::kF32, value, out + i, n);
  }
}

// in, out: [cols] f32; out may be in. gain [cols], bias [cols] or null.
HWY_INLINE void norm_row(NormKind kind, double epsilon, const float* gain, const float* bias,
                         const float* in, int64_t cols, float* out) {
  const DF d;
  float mean = 0;
  if (kind == NormKind::kLayerNorm) {
    mean = sum_over_row(in, cols, [](VF v) HWY_ATTR { return v; }) / static_cast<float>(cols);
  }
  const VF mean_v = hn::Set(d, mean);
  const float squares = sum_over_row(in, cols, [&](VF v) HWY_ATTR {
    const VF centred = hn::Sub(v, mean_v);
    return hn::Mul(centred, centred);
  });
  const double variance = static_cast<double>(squares) / static_cast<double>(cols);
  const auto factor = static_cast<float>(1.0 / std::sqrt(variance + epsilon));
  scale_row(in, cols, mean, factor, gain, bias, out);
}

HWY_INLINE const float* data_or_null(const Vector& vector) {
  return vector.empty() ? nullptr : vector.data();
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard, per instruction set
