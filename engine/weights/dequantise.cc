#include "engine/weights/dequantise.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "engine/weights/tensor_provider.h"

namespace skipbench {
namespace {

float read_f16(const std::byte* data) {
  uint16_t bits;
  std::memcpy(&bits, data, sizeof(bits));
  return f16_to_f32(bits);
}

// One block of 32 weights, laid out as DType says.
void block_to_floats(DType type, const std::byte* block, float* out) {
  const float d = read_f16(block);
  if (type == DType::kQ8_0) {
    for (int i = 0; i < kQuantBlock; ++i) {
      out[i] = d * static_cast<float>(static_cast<int8_t>(block[2 + i]));
    }
    return;
  }
  const bool has_minimum = type == DType::kQ4_1;
  const float offset = has_minimum ? read_f16(block + 2) : -8 * d;
  const std::byte* nibbles = block + (has_minimum ? 4 : 2);
  for (int i = 0; i < kQuantBlock / 2; ++i) {
    out[i] = d * static_cast<float>(nibbles[i] & std::byte{15}) + offset;
    out[i + kQuantBlock / 2] = d * static_cast<float>(nibbles[i] >> 4) + offset;
  }
}

}  // namespace

void row_to_floats(const Weight& weight, int64_t row, std::span<float> out) {
  assert(static_cast<int64_t>(out.size()) == weight.cols);
  const std::byte* data = weight.data + row * bytes_of(weight.type, weight.cols);
  if (!is_quantised(weight.type)) {
    std::ranges::copy(to_floats(weight.type, data, weight.cols), out.begin());
    return;
  }
  for (int64_t begin = 0; begin < weight.cols; begin += kQuantBlock) {
    block_to_floats(weight.type, data, out.data() + begin);
    data += block_bytes(weight.type);
  }
}

}  // namespace skipbench
