// numpy's default generator, bit for bit: numpy.random.default_rng(seed) with the two draws that
// sacreBLEU makes. PCG64 (XSL RR 128/64, O'Neill 2014), seeded through numpy's SeedSequence.
#pragma once

#include <cstdint>
#include <span>

namespace skipbench {

class NumpyRandom {
 public:
  explicit NumpyRandom(uint32_t seed);

  // Fills `out` as choice(n, size, replace=True) or integers(n) do; n >= 1.
  void choice(uint32_t n, std::span<uint32_t> out);

  uint32_t next32();

 private:
  uint64_t next64();
  void fill(std::span<uint64_t> out);  // what next64() gives, one call after another

  unsigned __int128 state_ = 0, increment_ = 0;
  bool have_half_ = false;
  uint32_t half_ = 0;  // the upper half of the last 64 bits, not yet used
};

// integers(2, size, dtype=bool): one object is one such call, whose values may be taken piece by
// piece. Bits left over at its end are dropped, as numpy does.
class NumpyCoins {
 public:
  explicit NumpyCoins(NumpyRandom* random) : random_(random) {}

  void next(std::span<uint8_t> out);  // 0 or 1

 private:
  NumpyRandom* random_;
  uint32_t bits_ = 0;
  int bits_left_ = 0;
};

}  // namespace skipbench
