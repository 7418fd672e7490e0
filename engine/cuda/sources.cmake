# The CUDA engine's sources, for nvcc (engine/cuda/CMakeLists.txt) and, as C++, for the emulated
# device (tests/emulator/CMakeLists.txt).

# Kernels and glue: both.
set(SKIPBENCH_CUDA_COMMON_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/check.cc)

# What the emulated device has its own of: graphs, and products by cuBLASLt.
set(SKIPBENCH_CUDA_DEVICE_SOURCES)
