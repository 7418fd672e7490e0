# The CUDA engine's sources, for nvcc (engine/cuda/CMakeLists.txt) and, as C++, for the emulated
# device (tests/emulator/CMakeLists.txt).

# Kernels and glue: both.
set(SKIPBENCH_CUDA_COMMON_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/advance.cu
  ${CMAKE_CURRENT_LIST_DIR}/append_kv.cu
  ${CMAKE_CURRENT_LIST_DIR}/attend_decode.cu
  ${CMAKE_CURRENT_LIST_DIR}/attend_prefill.cu
  ${CMAKE_CURRENT_LIST_DIR}/attend_tensor.cu
  ${CMAKE_CURRENT_LIST_DIR}/check.cc
  ${CMAKE_CURRENT_LIST_DIR}/context.cc
  ${CMAKE_CURRENT_LIST_DIR}/cosine.cu
  ${CMAKE_CURRENT_LIST_DIR}/cuda_backend.cc
  ${CMAKE_CURRENT_LIST_DIR}/device_weights.cc
  ${CMAKE_CURRENT_LIST_DIR}/embed.cu
  ${CMAKE_CURRENT_LIST_DIR}/exits.cu
  ${CMAKE_CURRENT_LIST_DIR}/gather_rows.cu
  ${CMAKE_CURRENT_LIST_DIR}/linear_decode.cu
  ${CMAKE_CURRENT_LIST_DIR}/linear_prefill.cu
  ${CMAKE_CURRENT_LIST_DIR}/linear_tensor.cu
  ${CMAKE_CURRENT_LIST_DIR}/log_prob.cu
  ${CMAKE_CURRENT_LIST_DIR}/next_token.cu
  ${CMAKE_CURRENT_LIST_DIR}/norm.cu
  ${CMAKE_CURRENT_LIST_DIR}/peaks.cu
  ${CMAKE_CURRENT_LIST_DIR}/random_fill.cu
  ${CMAKE_CURRENT_LIST_DIR}/sample.cu
  ${CMAKE_CURRENT_LIST_DIR}/scale.cu)

# What the emulated device has its own of: products by cuBLASLt, CUDA graphs.
set(SKIPBENCH_CUDA_DEVICE_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/graph_capture.cu
  ${CMAKE_CURRENT_LIST_DIR}/gemm_cublaslt.cc)
