#include "engine/cuda/check.h"

#include "engine/cuda/errors.h"
#include "fmt/format.h"

namespace skipbench::cuda {
namespace {

std::string place(const char* call, const char* file, int line) {
  return fmt::format("{}:{}: {}", file, line, call);
}

// After these every later call fails too (CUDA's "sticky" errors).
bool is_sticky(cudaError_t code) {
  switch (code) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorMisalignedAddress:
    case cudaErrorAssert:
      return true;
    default:
      return false;
  }
}

}  // namespace

void fail_cuda(cudaError_t code, const char* call, const char* file, int line) {
  const ErrorParts parts{
      .what = fmt::format("CUDA error {} ({})", cudaGetErrorName(code), cudaGetErrorString(code)),
      .where = place(call, file, line)};
  cudaGetLastError();  // a recoverable error must not show up in a later call
  if (code == cudaErrorMemoryAllocation) throw OutOfMemory(parts);
  if (is_sticky(code)) throw DeviceLost(parts);
  throw Error(parts);
}

void fail_cublas(cublasStatus_t code, const char* call, const char* file, int line) {
  throw Error({.what = fmt::format("cuBLAS error {}", cublasGetStatusString(code)),
               .where = place(call, file, line)});
}

}  // namespace skipbench::cuda
