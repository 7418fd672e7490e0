// engine/cuda/gemm.h for the emulated device: plain loops.
#include "engine/cuda/gemm.h"

#include "engine/base/error.h"
#include "tests/emulator/runtime_api.h"

namespace skipbench::cuda {
namespace {

float load(DType type, const void* data, int64_t index) {
  switch (type) {
    case DType::kF16:
      return f16_to_f32(static_cast<const uint16_t*>(data)[index]);
    case DType::kBF16:
      return bf16_to_f32(static_cast<const uint16_t*>(data)[index]);
    default:
      return static_cast<const float*>(data)[index];
  }
}

void store(DType type, void* data, int64_t index, float value) {
  switch (type) {
    case DType::kF16:
      static_cast<uint16_t*>(data)[index] = f32_to_f16(value);
      break;
    case DType::kBF16:
      static_cast<uint16_t*>(data)[index] = f32_to_bf16(value);
      break;
    default:
      static_cast<float*>(data)[index] = value;
      break;
  }
}

void multiply(const GemmArgs& args) {
  for (int64_t row = 0; row < args.m; ++row) {
    for (int64_t col = 0; col < args.n; ++col) {
      float sum = 0;
      for (int64_t i = 0; i < args.k; ++i) {
        sum += load(args.type, args.in, row * args.in_stride + i) *
               load(args.type, args.weight, col * args.weight_stride + i);
      }
      const int64_t at = row * args.out_stride + col;
      if (args.accumulate) sum += load(args.out_type, args.out, at);
      store(args.out_type, args.out, at, sum);
    }
  }
}

class LoopGemm : public Gemm {
 public:
  void run(const GemmArgs& args, cudaStream_t stream) override {
    if (is_quantised(args.type) || (args.out_type != args.type && args.out_type != DType::kF32)) {
      throw Error({.what = "product of types that cuBLASLt does not have"});
    }
    emulator::enqueue(stream, [args] {
      multiply(args);
      emulator::check_allocations();
    });
  }
};

}  // namespace

std::unique_ptr<Gemm> make_gemm() { return std::make_unique<LoopGemm>(); }

std::string gemm_library_version() { return ""; }

}  // namespace skipbench::cuda
