// An array in the emulated device's memory, which the host can reach too.
#pragma once

#include <algorithm>
#include <vector>

#include "engine/cuda/check.h"
#include "tests/emulator/fiber.h"

namespace skipbench::emulator {

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(int size) : size_(size) {  // elements are 0xFF bytes
    CUDA_CHECK(cudaMalloc(&data_, sizeof(T) * static_cast<size_t>(size)));
  }
  DeviceArray(int size, T value) : DeviceArray(size) { set(value); }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() { return data_; }
  void set(T value) { std::fill_n(data_, size_, value); }
  std::vector<T> host() const { return std::vector<T>(data_, data_ + size_); }

 private:
  T* data_ = nullptr;
  int size_;
};

}  // namespace skipbench::emulator
