// The two macros of this project: a failed CUDA or cuBLAS call becomes an exception that names the
// call and its place.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

namespace skipbench::cuda {

// Throws OutOfMemory (engine/cuda/errors.h) or Error; the message names the call and its place.
[[noreturn]] void fail_cuda(cudaError_t code, const char* call, const char* file, int line);
[[noreturn]] void fail_cublas(cublasStatus_t code, const char* call, const char* file, int line);

}  // namespace skipbench::cuda

#define CUDA_CHECK(call)                                                        \
  do {                                                                          \
    const cudaError_t cuda_check_code = (call);                                 \
    if (cuda_check_code != cudaSuccess) {                                       \
      ::skipbench::cuda::fail_cuda(cuda_check_code, #call, __FILE__, __LINE__); \
    }                                                                           \
  } while (false)

#define CUBLAS_CHECK(call)                                                          \
  do {                                                                              \
    const cublasStatus_t cublas_check_code = (call);                                \
    if (cublas_check_code != CUBLAS_STATUS_SUCCESS) {                               \
      ::skipbench::cuda::fail_cublas(cublas_check_code, #call, __FILE__, __LINE__); \
    }                                                                               \
  } while (false)
