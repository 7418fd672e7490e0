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
    case cudaErrorECCUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorUnknown:
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
  // An earlier kernel's fault can come up here first: then the device is lost.
  const cudaError_t device = cudaFree(nullptr);
  if (is_sticky(device)) fail_cuda(device, call, file, line);
  throw Error({.what = fmt::format("cuBLAS error {}", cublasGetStatusString(code)),
               .where = place(call, file, line)});
}

}  // namespace skipbench::cuda
