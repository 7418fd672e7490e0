// Memory between guard bytes: what the emulated device hands out as global and shared memory.
#pragma once

#include <cstddef>

namespace skipbench::emulator {

class GuardedMemory {
 public:
  // Filled with 0xFF: NaN as a float, so that a read before the first write poisons the result.
  explicit GuardedMemory(size_t bytes);
  ~GuardedMemory();
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

  void poison();  // 0xFF again
  bool guards_intact() const;
  // Nobody may touch it from now on; still_untouched() tells whether somebody wrote.
  void retire();
  bool still_untouched() const;

 private:
  std::byte* block_;
  std::byte* data_;
  size_t bytes_;
};

}  // namespace skipbench::emulator
