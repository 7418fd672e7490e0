// SiLU and GELU on vectors. Included once per instruction set.
#if defined(SKIPBENCH_ENGINE_CPU_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SKIPBENCH_ENGINE_CPU_ACTIVATION_INL_H_
#undef SKIPBENCH_ENGINE_CPU_ACTIVATION_INL_H_
#else
#define SKIPBENCH_ENGINE_CPU_ACTIVATION_INL_H_
#endif

#include <cmath>

#include "engine/cpu/simd-inl.h"
#include "engine/model_config.h"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

// x * sigmoid(u). Written with exp(-|u|), which neither overflows nor loses small results.
HWY_INLINE VF times_sigmoid(VF x, VF u) {
  const DF d;
  const VF one = hn::Set(d, 1.0f);
  const VF e = hn::Exp(d, hn::Neg(hn::Abs(u)));
  const VF numerator = hn::IfThenElse(hn::Lt(u, hn::Zero(d)), e, one);
  return hn::Mul(x, hn::Div(numerator, hn::Add(one, e)));
}

// x / 2 * (1 + tanh(t)) is x * sigmoid(2 t), without the cancellation at negative x.
HWY_INLINE VF gelu_tanh(VF x) {
  const DF d;
  const VF cubic = hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.044715f), hn::Set(d, 1.0f));
  const VF u = hn::Mul(hn::Mul(x, hn::Set(d, 1.5957691216057308f)), cubic);  // 2 sqrt(2 / pi)
  return times_sigmoid(x, u);
}

// Highway has no erf; no supported family's speed depends on this one.
HWY_NOINLINE inline VF gelu_erf(VF x) {
  const DF d;
  float lanes[kLanes] = {};
  hn::StoreU(x, d, lanes);
  for (float& v : lanes) {
    v = static_cast<float>(0.5 * v * std::erfc(-static_cast<double>(v) * M_SQRT1_2));
  }
  return hn::LoadU(d, lanes);
}

HWY_INLINE VF activate(Activation activation, VF x) {
  switch (activation) {
    case Activation::kSilu:
      return times_sigmoid(x, x);
    case Activation::kGeluTanh:
      return gelu_tanh(x);
    case Activation::kGeluErf:
      return gelu_erf(x);
  }
  return x;
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard, per instruction set
