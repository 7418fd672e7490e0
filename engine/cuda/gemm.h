// Matrix products of many rows: cuBLASLt on a GPU, plain loops on the emulated device.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/dtype.h"

namespace skipbench::cuda {

// out[m, n] = in[m, k] * weight[n, k]^T (+ out, with `accumulate`). Sums in f32. All row-major,
// strides in elements. `type` is that of `in` and `weight` (f32, f16 or bf16); out_type is `type`
// or f32. f32 is computed in full f32, not in TF32.
struct GemmArgs {
  DType type = DType::kF32;
  DType out_type = DType::kF32;
  const void* in = nullptr;      // [m, k]
  const void* weight = nullptr;  // [n, k]
  void* out = nullptr;           // [m, n]
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t in_stride = 0;
  int64_t weight_stride = 0;
  int64_t out_stride = 0;
  bool accumulate = false;
};

// Keeps handle, workspace and the algorithm chosen per shape. One per backend.
class Gemm {
 public:
  virtual ~Gemm() = default;

  // Queued on `stream`; may be recorded into a graph once the same shape was run before.
  virtual void run(const GemmArgs& args, cudaStream_t stream) = 0;
};

std::unique_ptr<Gemm> make_gemm();

// cuBLASLt's, "12.4.5"; empty where it does not say, and on the emulated device, which has none.
std::string gemm_library_version();

}  // namespace skipbench::cuda
