#include "engine/cuda/device_weights.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "engine/cuda/check.h"

namespace skipbench::cuda {
namespace {

constexpr int64_t kLoadBytes = 16;
constexpr int64_t kStagingBytes = int64_t{32} << 20;

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

int64_t quant_bytes_per_block(DType type) { return type == DType::kQ8_0 ? 32 : 16; }

int64_t pitch_of(DType type, int64_t cols) {
  if (is_quantised(type)) return cols / kQuantBlock * quant_bytes_per_block(type);
  return round_up(bytes_of(type, cols), kLoadBytes);
}

// Rows [begin, end) as the device wants them: `data` [end - begin] of `pitch`, `scales` after rows.
void repack(const Weight& weight, int64_t begin, int64_t end, int64_t pitch, std::byte* data,
            uint16_t* scales) {
  const int64_t row_bytes = bytes_of(weight.type, weight.cols);
  for (int64_t r = begin; r < end; ++r, data += pitch) {
    const std::byte* row = weight.data + r * row_bytes;
    if (!is_quantised(weight.type)) {
      std::memcpy(data, row, static_cast<size_t>(row_bytes));
      std::memset(data + row_bytes, 0, static_cast<size_t>(pitch - row_bytes));
      continue;
    }
    const int64_t blocks = weight.cols / kQuantBlock;
    const int64_t quants = quant_bytes_per_block(weight.type);
    const int64_t head = 2 * scales_per_block(weight.type);
    for (int64_t b = 0; b < blocks; ++b) {
      const std::byte* block = row + b * (head + quants);
      std::memcpy(scales, block, static_cast<size_t>(head));
      std::memcpy(data + b * quants, block + head, static_cast<size_t>(quants));
      scales += scales_per_block(weight.type);
    }
  }
}

}  // namespace

DeviceMatrix DeviceMatrix::from_row(int64_t row) const {
  DeviceMatrix part = *this;
  part.data += row * pitch_bytes;
  if (scales != nullptr) part.scales += row * (cols / kQuantBlock) * scales_per_block(type);
  part.rows -= row;
  return part;
}

DeviceBuffer DeviceWeights::upload_bytes(const void* data, size_t bytes, size_t padded_bytes) {
  DeviceBuffer buffer = allocate_(padded_bytes);
  CUDA_CHECK(cudaMemsetAsync(buffer.get(), 0, padded_bytes, stream_));
  CUDA_CHECK(cudaMemcpyAsync(buffer.get(), data, bytes, cudaMemcpyHostToDevice, stream_));
  bytes_ += static_cast<int64_t>(padded_bytes);
  return buffer;
}

DeviceWeights::Copy DeviceWeights::upload(const Weight& weight) {
  Copy copy;
  copy.host_bytes = weight.bytes();
  const int64_t pitch = pitch_of(weight.type, weight.cols);
  const int64_t row_scales =
      is_quantised(weight.type) ? weight.cols / kQuantBlock * scales_per_block(weight.type) : 0;
  const DeviceBuffer data = allocate_(static_cast<size_t>(weight.rows * pitch));
  copy.memory.push_back(data);
  DeviceBuffer scales;
  if (row_scales > 0) {
    scales = allocate_(static_cast<size_t>(weight.rows * row_scales) * sizeof(uint16_t));
    copy.memory.push_back(scales);
  }
  bytes_ += weight.rows * (pitch + row_scales * 2);
  copy.matrix = {static_cast<const std::byte*>(data.get()),
                 static_cast<const uint16_t*>(scales.get()),
                 weight.type,
                 weight.rows,
                 weight.cols,
                 pitch};
  if (weight.fill.begin != nullptr) {
    CUDA_CHECK(cudaMemsetAsync(data.get(), 0, static_cast<size_t>(weight.rows * pitch), stream_));
    fill_random(weight.fill, (weight.data - weight.fill.begin) / block_bytes(weight.type),
                copy.matrix, stream_);
    // Kernels may read weights before the launch ahead of them has ended.
    CUDA_CHECK(cudaStreamSynchronize(stream_));
    return copy;
  }
  // In pieces, so that the host needs no second copy of a large matrix.
  const int64_t piece = std::max<int64_t>(1, kStagingBytes / std::max<int64_t>(1, pitch));
  std::vector<std::byte> staging(static_cast<size_t>(std::min(piece, weight.rows) * pitch));
  std::vector<uint16_t> scale_staging(
      static_cast<size_t>(std::min(piece, weight.rows) * row_scales));
  for (int64_t begin = 0; begin < weight.rows; begin += piece) {
    const int64_t rows = std::min(piece, weight.rows - begin);
    repack(weight, begin, begin + rows, pitch, staging.data(), scale_staging.data());
    CUDA_CHECK(cudaMemcpyAsync(static_cast<std::byte*>(data.get()) + begin * pitch, staging.data(),
                               static_cast<size_t>(rows * pitch), cudaMemcpyHostToDevice, stream_));
    if (row_scales > 0) {
      CUDA_CHECK(cudaMemcpyAsync(static_cast<uint16_t*>(scales.get()) + begin * row_scales,
                                 scale_staging.data(),
                                 static_cast<size_t>(rows * row_scales) * sizeof(uint16_t),
                                 cudaMemcpyHostToDevice, stream_));
    }
    CUDA_CHECK(cudaStreamSynchronize(stream_));  // the staging memory is used again
  }
  return copy;
}

DeviceMatrix DeviceWeights::matrix(const Weight& weight) {
  auto after = matrices_.upper_bound(weight.data);
  if (after != matrices_.begin()) {
    const auto& [host, copy] = *std::prev(after);
    const DeviceMatrix& whole = copy.matrix;
    if (weight.data + weight.bytes() <= host + copy.host_bytes && whole.type == weight.type &&
        whole.cols == weight.cols) {
      DeviceMatrix part = whole.from_row((weight.data - host) / bytes_of(weight.type, weight.cols));
      part.rows = weight.rows;
      return part;
    }
  }
  return matrices_.insert_or_assign(weight.data, upload(weight)).first->second.matrix;
}

const float* DeviceWeights::vector(const Vector& vector) {
  if (vector.empty()) return nullptr;
  DeviceBuffer& copy = vectors_[vector.data()];
  if (copy == nullptr) {
    const size_t bytes = vector.size() * sizeof(float);
    copy = upload_bytes(vector.data(), bytes,
                        static_cast<size_t>(round_up(static_cast<int64_t>(bytes), kLoadBytes)));
  }
  return static_cast<const float*>(copy.get());
}

const double* DeviceWeights::vector(const std::vector<double>& vector) {
  if (vector.empty()) return nullptr;
  DeviceBuffer& copy = vectors_[vector.data()];
  if (copy == nullptr) {
    const size_t bytes = vector.size() * sizeof(double);
    copy = upload_bytes(vector.data(), bytes, bytes);
  }
  return static_cast<const double*>(copy.get());
}

void DeviceWeights::clear() {
  matrices_.clear();
  vectors_.clear();
  bytes_ = 0;
  ++clears_;
}

}  // namespace skipbench::cuda
