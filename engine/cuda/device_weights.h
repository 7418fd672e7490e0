// Copies of weights on the device, made on first use and repacked for 16-byte loads.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "engine/backend.h"
#include "engine/weights/weight.h"

namespace skipbench::cuda {

// A matrix [rows, cols] on the device. Rows begin at multiples of 16 bytes and are padded with zero
// bytes to `pitch_bytes`. Quantised types have their scales apart, so that a block of weights is 16
// (Q4) or 32 (Q8) bytes and never straddles a load.
struct DeviceMatrix {
  const std::byte* data = nullptr;   // [rows] of pitch_bytes; plain elements, or quants alone
  const uint16_t* scales = nullptr;  // [rows, cols / 32] f16 d; Q4_1: pairs (d, m)
  DType type = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t pitch_bytes = 0;

  DeviceMatrix from_row(int64_t row) const;
};

// Makes the elements of `out` on the device; its first is element `first` of the fill's matrix.
void fill_random(const RandomFill& fill, int64_t first, const DeviceMatrix& out,
                 cudaStream_t stream);

constexpr int64_t scales_per_block(DType type) { return type == DType::kQ4_1 ? 2 : 1; }

// Keyed by the address of the host's data, which therefore must stay in place and unchanged until
// clear(). A weight that lies inside one already uploaded (the key and value rows of a fused
// projection) shares its copy.
class DeviceWeights {
 public:
  using Allocate = std::function<DeviceBuffer(size_t bytes)>;
  DeviceWeights(Allocate allocate, cudaStream_t stream) : allocate_(allocate), stream_(stream) {}

  DeviceMatrix matrix(const Weight& weight);
  // Null for an empty vector. The device's copy has zeros up to a multiple of four elements.
  const float* vector(const Vector& vector);
  const double* vector(const std::vector<double>& vector);

  // Frees all copies. The device must be idle.
  void clear();
  int64_t clears() const { return clears_; }
  int64_t bytes() const { return bytes_; }

 private:
  struct Copy {
    DeviceMatrix matrix;
    int64_t host_bytes = 0;
    std::vector<DeviceBuffer> memory;
  };

  Copy upload(const Weight& weight);
  DeviceBuffer upload_bytes(const void* data, size_t bytes, size_t padded_bytes);

  Allocate allocate_;
  cudaStream_t stream_;
  int64_t bytes_ = 0;
  int64_t clears_ = 0;
  std::map<const std::byte*, Copy> matrices_;
  std::map<const void*, DeviceBuffer> vectors_;
};

}  // namespace skipbench::cuda
