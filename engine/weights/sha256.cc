#include "engine/weights/sha256.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace skipbench {
namespace {

// The first 32 bits of the fractional part of `root`(p) for the first primes p, as the standard
// defines the constants: found by integer search, so that no table can hold a typing error.
template <size_t N>
constexpr std::array<uint32_t, N> prime_root_bits(int power) {
  std::array<uint32_t, N> bits{};
  size_t found = 0;
  for (uint64_t p = 2; found < N; ++p) {
    bool is_prime = true;
    for (uint64_t d = 2; d * d <= p; ++d) is_prime = is_prime && p % d != 0;
    if (!is_prime) continue;
    // Largest x with x^power <= p * 2^(32 * power).
    using Wide = unsigned __int128;
    Wide low = 0;
    Wide high = Wide{1} << 37;
    while (high - low > 1) {
      const Wide mid = (low + high) / 2;
      const bool fits =
          power == 2 ? mid * mid <= (Wide{p} << 64) : mid * mid * mid <= (Wide{p} << 96);
      (fits ? low : high) = mid;
    }
    bits[found++] = static_cast<uint32_t>(low);
  }
  return bits;
}

constexpr std::array<uint32_t, 8> kInitial = prime_root_bits<8>(2);
constexpr std::array<uint32_t, 64> kRound = prime_root_bits<64>(3);

uint32_t load_big_endian(const std::byte* p) {
  return std::to_integer<uint32_t>(p[0]) << 24 | std::to_integer<uint32_t>(p[1]) << 16 |
         std::to_integer<uint32_t>(p[2]) << 8 | std::to_integer<uint32_t>(p[3]);
}

}  // namespace

Sha256::Sha256() : state_(kInitial), pending_{} {}

void Sha256::compress(const std::byte* block) {
  std::array<uint32_t, 64> w;
  for (int i = 0; i < 16; ++i) w[i] = load_big_endian(block + 4 * i);
  for (int i = 16; i < 64; ++i) {
    const uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (int i = 0; i < 64; ++i) {
    const uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    const uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + kRound[i] + w[i];
    const uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    const uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  const std::array<uint32_t, 8> add = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) state_[i] += add[i];
}

void Sha256::update(std::span<const std::byte> bytes) {
  num_bytes_ += bytes.size();
  while (!bytes.empty()) {
    if (num_pending_ == 0 && bytes.size() >= pending_.size()) {
      compress(bytes.data());
      bytes = bytes.subspan(pending_.size());
      continue;
    }
    const size_t count = std::min(bytes.size(), pending_.size() - num_pending_);
    std::memcpy(pending_.data() + num_pending_, bytes.data(), count);
    bytes = bytes.subspan(count);
    num_pending_ += count;
    if (num_pending_ < pending_.size()) return;
    compress(pending_.data());
    num_pending_ = 0;
  }
}

void Sha256::update(std::string_view text) {
  update(std::as_bytes(std::span(text.data(), text.size())));
}

std::string Sha256::hex_digest() {
  const uint64_t num_bits = num_bytes_ * 8;
  std::array<std::byte, 72> padding{};
  padding[0] = std::byte{0x80};
  const size_t zeros = (119 - num_pending_) % 64;  // up to 8 bytes before the end of a block
  std::array<std::byte, 8> length;
  for (int i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(num_bits >> (56 - 8 * i));
  update(std::span<const std::byte>(padding.data(), zeros + 1));
  update(length);
  std::string digest;
  for (const uint32_t word : state_) digest += fmt::format("{:08x}", word);
  return digest;
}

}  // namespace skipbench
