// Working memory of the CPU operations: allocated on first use, grown when a larger shape comes,
// never shrunk, so that a decoding loop of one shape allocates nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace skipbench::cpu {

constexpr size_t kAlignment = 64;  // a cache line and the widest vector

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};
using AlignedMemory = std::unique_ptr<std::byte, FreeDeleter>;

// At least `bytes` bytes at a multiple of kAlignment. Throws std::bad_alloc.
inline AlignedMemory aligned_memory(size_t bytes) {
  if (bytes > SIZE_MAX / 2) throw std::bad_alloc();
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = std::aligned_alloc(kAlignment, rounded == 0 ? kAlignment : rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return AlignedMemory(static_cast<std::byte*>(memory));
}

// What a buffer holds: each has its own memory, so that one call's parts never overlap.
enum class Slot { kInput, kPanel, kSums, kScores, kPositions, kPartial, kCount };

class Scratch {
 public:
  // `count` elements of T, uninitialised; valid until the next call for the same slot.
  template <typename T>
  T* get(Slot slot, int64_t count) {
    Buffer& buffer = buffers_[static_cast<size_t>(slot)];
    const size_t bytes = static_cast<size_t>(count) * sizeof(T);
    if (buffer.memory == nullptr || buffer.bytes < bytes) {
      buffer.memory.reset();
      buffer.memory = aligned_memory(bytes);
      buffer.bytes = bytes;
    }
    return reinterpret_cast<T*>(buffer.memory.get());
  }

  // The linear call whose input rows stand in Slot::kInput (each thread prepares them once).
  uint64_t prepared_call = 0;

 private:
  struct Buffer {
    AlignedMemory memory;
    size_t bytes = 0;
  };
  std::array<Buffer, static_cast<size_t>(Slot::kCount)> buffers_;
};

}  // namespace skipbench::cpu
