#include "eval/metrics/numpy_random.h"

#include <algorithm>
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

// XSL RR: the state's halves folded, rotated by its upper bits.
uint64_t output(unsigned __int128 state) {
  const uint64_t folded = static_cast<uint64_t>(state >> 64) ^ static_cast<uint64_t>(state);
  const int rotation = static_cast<int>(state >> 122);
  return folded >> rotation | folded << (-rotation & 63);
}

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
  return output(state_);
}

// Two states in turns, each two steps from its last: their long multiplications overlap.
void NumpyRandom::fill(std::span<uint64_t> out) {
  constexpr unsigned __int128 kTwoSteps = kMultiplier * kMultiplier;
  const unsigned __int128 two_increments = increment_ * (kMultiplier + 1);
  unsigned __int128 last = state_;
  unsigned __int128 next = state_ * kMultiplier + increment_;
  size_t i = 0;
  for (; i + 2 <= out.size(); i += 2) {
    last = last * kTwoSteps + two_increments;
    out[i] = output(next);
    out[i + 1] = output(last);
    next = next * kTwoSteps + two_increments;
  }
  state_ = last;
  if (i < out.size()) out[i] = next64();
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

// Lemire's unbiased bounded integers on 32 bits, as numpy draws them; one choice takes no bits. A
// value takes at least half of 64 bits, so blocks of as many are never too long.
void NumpyRandom::choice(uint32_t n, std::span<uint32_t> out) {
  if (n == 1) {
    std::fill(out.begin(), out.end(), 0);
    return;
  }
  const uint32_t threshold = (0xFFFFFFFFU - (n - 1)) % n;
  std::array<uint64_t, 256> block{};
  size_t done = 0;
  const auto take = [&](uint32_t bits) {
    const uint64_t product = static_cast<uint64_t>(bits) * n;
    out[done] = static_cast<uint32_t>(product >> 32);
    if (static_cast<uint32_t>(product) >= threshold) ++done;
  };
  while (done < out.size()) {
    const size_t words = std::min(block.size(), (out.size() - done) / 2);
    if (have_half_ || words == 0) {
      take(next32());
      continue;
    }
    fill(std::span(block).first(words));
    for (const uint64_t bits : std::span(block).first(words)) {
      take(static_cast<uint32_t>(bits));
      take(static_cast<uint32_t>(bits >> 32));
    }
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
