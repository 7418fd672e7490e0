#include "eval/metrics/numpy_random.h"

#include <array>

namespace skipbench {
namespace {

// numpy/random/bit_generator.pyx: SeedSequence with a pool of four words.
constexpr int kPool = 4;

class SeedSequence {
 public:
  explicit SeedSequence(uint32_t seed) {
    uint32_t constant = 0x43b0d7e5;
    const auto hash = [&](uint32_t value) {
      value ^= constant;
      constant *= 0x931e8875;
      value *= constant;
      return value ^ value >> 16;
    };
    for (int i = 0; i < kPool; ++i) pool_[i] = hash(i == 0 ? seed : 0);
    for (int from = 0; from < kPool; ++from) {
      for (int to = 0; to < kPool; ++to) {
        if (from == to) continue;
        const uint32_t mixed = 0xca01f9ddU * pool_[to] - 0x4973f715U * hash(pool_[from]);
        pool_[to] = mixed ^ mixed >> 16;
      }
    }
  }

  std::array<uint64_t, 4> state() const {
    std::array<uint64_t, 4> words{};
    uint32_t constant = 0x8b51f9dd;
    for (int i = 0; i < 8; ++i) {
      uint32_t value = pool_[i % kPool] ^ constant;
      constant *= 0x58f38ded;
      value *= constant;
      value ^= value >> 16;
      words[i / 2] |= static_cast<uint64_t>(value) << (32 * (i % 2));
    }
    return words;
  }

 private:
  std::array<uint32_t, kPool> pool_{};
};

constexpr unsigned __int128 kMultiplier =
    (static_cast<unsigned __int128>(2549297995355413924ULL) << 64) | 4865540595714422341ULL;

}  // namespace

NumpyRandom::NumpyRandom(uint32_t seed) {
  const std::array<uint64_t, 4> words = SeedSequence(seed).state();
  const auto wide = [](uint64_t high, uint64_t low) {
    return static_cast<unsigned __int128>(high) << 64 | low;
  };
  increment_ = wide(words[2], words[3]) << 1 | 1;
  state_ = increment_ + wide(words[0], words[1]);
  state_ = state_ * kMultiplier + increment_;
}

uint64_t NumpyRandom::next64() {
  state_ = state_ * kMultiplier + increment_;
  const uint64_t folded = static_cast<uint64_t>(state_ >> 64) ^ static_cast<uint64_t>(state_);
  const int rotation = static_cast<int>(state_ >> 122);
  return folded >> rotation | folded << (-rotation & 63);
}

uint32_t NumpyRandom::next32() {
  if (have_half_) {
    have_half_ = false;
    return half_;
  }
  const uint64_t bits = next64();
  have_half_ = true;
  half_ = static_cast<uint32_t>(bits >> 32);
  return static_cast<uint32_t>(bits);
}

// Lemire's unbiased bounded integers on 32 bits, as numpy draws them; one choice takes no bits.
void NumpyRandom::choice(uint32_t n, std::span<uint32_t> out) {
  const uint32_t threshold = n > 1 ? (0xFFFFFFFFU - (n - 1)) % n : 0;
  for (uint32_t& value : out) {
    uint64_t product = 0;
    if (n > 1) {
      do {
        product = static_cast<uint64_t>(next32()) * n;
      } while (static_cast<uint32_t>(product) < threshold);
    }
    value = static_cast<uint32_t>(product >> 32);
  }
}

void NumpyCoins::next(std::span<uint8_t> out) {
  for (uint8_t& coin : out) {
    if (bits_left_ == 0) {
      bits_ = random_->next32();
      bits_left_ = 32;
    }
    coin = bits_ & 1;
    bits_ >>= 1;
    --bits_left_;
  }
}

}  // namespace skipbench
