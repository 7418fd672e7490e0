// Element types of weights, activations and caches, and their sizes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace skipbench {

// kQ8_0, kQ4_0 and kQ4_1 are GGUF's block types: 32 weights of one row per block.
//   Q8_0: f16 d, int8 q[32]                     w = d * q
//   Q4_0: f16 d, 16 bytes                       w = d * (q - 8)
//   Q4_1: f16 d, f16 m, 16 bytes                w = d * q + m
// In the 4-bit types byte i holds element i in its low and element i + 16 in its high nibble.
enum class DType : uint8_t { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_1 };

constexpr int kQuantBlock = 32;  // weights per block of the quantised types

constexpr bool is_quantised(DType type) { return type >= DType::kQ8_0; }

// Elements per block and bytes per block; plain types have blocks of one element.
constexpr int64_t block_elements(DType type) { return is_quantised(type) ? kQuantBlock : 1; }
constexpr int64_t block_bytes(DType type) {
  switch (type) {
    case DType::kF32: return 4;
    case DType::kF16: return 2;
    case DType::kBF16: return 2;
    case DType::kQ8_0: return 34;
    case DType::kQ4_0: return 18;
    case DType::kQ4_1: return 20;
  }
  return 0;
}

// Bytes of `n` consecutive elements; n must be a multiple of block_elements(type).
constexpr int64_t bytes_of(DType type, int64_t n) {
  return n / block_elements(type) * block_bytes(type);
}

std::string_view dtype_name(DType type);  // "f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"

// Inverse of dtype_name for the types that activations may have (f32, f16, bf16); throws Error
// naming `where` for anything else.
DType parse_activation_dtype(std::string_view name, std::string where);

float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);  // round to nearest even

inline float bf16_to_f32(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}
uint16_t f32_to_bf16(float value);  // round to nearest even, NaN stays NaN

}  // namespace skipbench
