#include "tests/emulator/guarded_memory.h"

#include <cstdlib>
#include <new>

#include "tests/emulator/fiber.h"

namespace skipbench::emulator {
namespace {

constexpr size_t kGuardBytes = 256;  // a whole alignment unit of cudaMalloc
constexpr std::byte kGuard{0xA5};
constexpr std::byte kUnset{0xFF};
constexpr std::byte kRetired{0xFD};  // also NaN as a half type or float

size_t tail_bytes(size_t bytes) { return kGuardBytes + (kGuardBytes - bytes % kGuardBytes); }

// Plain loops: this file is compiled without ThreadSanitizer, which would take a call of memset for
// an access by the CUDA thread that runs.
void fill(std::byte* address, size_t bytes, std::byte value) {
  for (size_t i = 0; i < bytes; ++i) address[i] = value;
}

bool all_are(const std::byte* address, size_t bytes, std::byte value) {
  for (size_t i = 0; i < bytes; ++i) {
    if (address[i] != value) return false;
  }
  return true;
}

}  // namespace

GuardedMemory::GuardedMemory(size_t bytes) : bytes_(bytes) {
  const size_t total = kGuardBytes + bytes + tail_bytes(bytes);
  block_ = static_cast<std::byte*>(std::aligned_alloc(kGuardBytes, total));
  if (block_ == nullptr) throw std::bad_alloc();
  data_ = block_ + kGuardBytes;
  fill(block_, kGuardBytes, kGuard);
  fill(data_ + bytes, tail_bytes(bytes), kGuard);
  poison();
  forbid_access(block_, kGuardBytes);
  forbid_access(data_ + bytes, tail_bytes(bytes));
}

GuardedMemory::~GuardedMemory() {
  permit_access(block_, kGuardBytes + bytes_ + tail_bytes(bytes_));
  std::free(block_);
}

void GuardedMemory::poison() { fill(data_, bytes_, kUnset); }

bool GuardedMemory::guards_intact() const {
  if (has_asan()) return true;  // it has reported already
  return all_are(block_, kGuardBytes, kGuard) &&
         all_are(data_ + bytes_, tail_bytes(bytes_), kGuard);
}

void GuardedMemory::retire() {
  fill(data_, bytes_, kRetired);
  forbid_access(data_, bytes_);
}

bool GuardedMemory::still_untouched() const {
  return has_asan() || all_are(data_, bytes_, kRetired);
}

}  // namespace skipbench::emulator
