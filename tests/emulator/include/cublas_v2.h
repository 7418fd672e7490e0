// Found before the toolkit's header of this name in an emulated build, which has no cuBLAS: the
// products are plain loops (tests/emulator/gemm.cc).
#pragma once

enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0 };

inline const char* cublasGetStatusString(cublasStatus_t) { return "CUBLAS_STATUS_SUCCESS"; }
