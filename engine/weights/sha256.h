// SHA-256 (FIPS 180-4). Written here because libcrypto would be a heavy dependency for one function
// and because data manifests state the same digest; a non-cryptographic hash could not tell a
// forged model apart.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace skipbench {

class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  std::string hex_digest();  // 64 lower-case digits; ends the computation

 private:
  void compress(const std::byte* block);  // [64]

  std::array<uint32_t, 8> state_;
  std::array<std::byte, 64> pending_;
  size_t num_pending_ = 0;
  uint64_t num_bytes_ = 0;
};

}  // namespace skipbench
