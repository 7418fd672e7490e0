// SiLU and GELU, as engine/cpu/activation-inl.h defines them.
#pragma once

#include <cmath>

#include "engine/cuda/launch.h"
#include "engine/model_config.h"

namespace skipbench::cuda {

// x * sigmoid(u). Written with exp(-|u|), which neither overflows nor loses small results.
__device__ __forceinline__ float times_sigmoid(float x, float u) {
  const float e = expf(-fabsf(u));
  return x * ((u < 0 ? e : 1.0f) / (1.0f + e));
}

__device__ __forceinline__ float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kSilu:
      return times_sigmoid(x, x);
    case Activation::kGeluTanh:
      // x / 2 * (1 + tanh(t)) is x * sigmoid(2 t), without the cancellation at negative x.
      return times_sigmoid(x, x * 1.5957691216057308f * fmaf(x * x, 0.044715f, 1.0f));
    case Activation::kGeluErf:
      return 0.5f * x * erfcf(-x * 0.70710678118654752f);
  }
  return x;
}

}  // namespace skipbench::cuda
