#include "tests/emulator/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

// The sanitizers' interfaces, null where the program runs without.
extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom,
                                                  size_t bytes);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack, const void** old_bottom,
                                                   size_t* old_bytes);
[[gnu::weak]] void __asan_poison_memory_region(const volatile void* address, size_t bytes);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* address, size_t bytes);
[[gnu::weak]] void* __tsan_get_current_fiber();
[[gnu::weak]] void* __tsan_create_fiber(unsigned flags);
[[gnu::weak]] void __tsan_switch_to_fiber(void* fiber, unsigned flags);
[[gnu::weak]] void __tsan_acquire(void* token);
[[gnu::weak]] void __tsan_release(void* token);
}

namespace skipbench::emulator {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

namespace {

constexpr size_t kStackBytes = 256 << 10;
constexpr size_t kLastFrames = 4 << 10;     // more than those that end a fiber and never return
constexpr unsigned kNoSynchronisation = 1;  // a switch orders nothing between CUDA threads

// With an inaccessible page below, so that an overflow stops the program instead of damaging it.
std::byte* allocate_stack() {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, page + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) throw std::bad_alloc();
  return static_cast<std::byte*>(memory) + page;
}

Fiber* running = nullptr;

}  // namespace

void Fiber::restart(Entry entry) {
  if (stack_ == nullptr) {
    stack_ = allocate_stack();
    stack_bytes_ = kStackBytes;
    if (__tsan_create_fiber != nullptr) tsan_fiber_ = __tsan_create_fiber(0);
  }
  permit_access(stack_ + stack_bytes_ - kLastFrames, kLastFrames);
  entry_ = entry;
  fake_stack_ = nullptr;
  context_ = make_fcontext(stack_ + stack_bytes_, stack_bytes_, &Fiber::start);
}

void Fiber::forget_frames() {
  if (stack_ != nullptr) permit_access(stack_, stack_bytes_);
}

void Fiber::adopt_current() {
  if (__tsan_get_current_fiber != nullptr) tsan_fiber_ = __tsan_get_current_fiber();
  running = this;
}

void Fiber::switch_to(Fiber& to, bool last) {
  if (__sanitizer_start_switch_fiber != nullptr) {
    __sanitizer_start_switch_fiber(last ? nullptr : &fake_stack_, to.stack_, to.stack_bytes_);
  }
  if (__tsan_switch_to_fiber != nullptr) __tsan_switch_to_fiber(to.tsan_fiber_, kNoSynchronisation);
  running = &to;
  arrived(jump_fcontext(to.context_, this), fake_stack_);
}

// First thing on the new stack: the fiber that was left learns where it goes on.
void Fiber::arrived(transfer_t from, void* fake_stack) {
  auto* left = static_cast<Fiber*>(from.data);
  left->context_ = from.fctx;
  if (__sanitizer_finish_switch_fiber == nullptr) return;
  const void* bottom = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(fake_stack, &bottom, &bytes);
  if (left->entry_ == nullptr) {  // an adopted stack, whose bounds only the sanitizer knows
    left->stack_ = static_cast<std::byte*>(const_cast<void*>(bottom));
    left->stack_bytes_ = bytes;
  }
}

void Fiber::start(transfer_t from) {
  arrived(from, nullptr);
  running->entry_();
}

void publish(void* token) {
  if (__tsan_release != nullptr) __tsan_release(token);
}

void acquire(void* token) {
  if (__tsan_acquire != nullptr) __tsan_acquire(token);
}

bool has_tsan() { return __tsan_create_fiber != nullptr; }

bool has_asan() { return __asan_poison_memory_region != nullptr; }

void forbid_access(const void* address, size_t bytes) {
  if (has_asan()) __asan_poison_memory_region(address, bytes);
}

void permit_access(const void* address, size_t bytes) {
  if (has_asan()) __asan_unpoison_memory_region(address, bytes);
}

}  // namespace skipbench::emulator
