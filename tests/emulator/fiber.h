// A stack of its own and the switch between stacks, known to AddressSanitizer and ThreadSanitizer.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

namespace skipbench::emulator {

class Fiber {
 public:
  using Entry = void (*)();

  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes the next switch to this fiber start `entry`, which never returns: it ends with
  // switch_to(..., true). Allocates at the first call. Where the fiber before did not return from
  // all that it called, AddressSanitizer must forget those frames first.
  void restart(Entry entry);
  void forget_frames();

  // Takes the running stack (the OS thread's own) for this fiber.
  void adopt_current();

  // Continues `to` where it stopped; returns when someone switches back. `last`: never comes back.
  void switch_to(Fiber& to, bool last = false);

 private:
  static void start(boost::context::detail::transfer_t from);
  static void arrived(boost::context::detail::transfer_t from, void* fake_stack);

  boost::context::detail::fcontext_t context_ = nullptr;
  Entry entry_ = nullptr;
  std::byte* stack_ = nullptr;  // lowest address
  size_t stack_bytes_ = 0;
  void* tsan_fiber_ = nullptr;
  void* fake_stack_ = nullptr;  // AddressSanitizer's, while suspended
};

// What the running fiber did before is seen by who acquires the token later. Without
// ThreadSanitizer they do nothing.
void publish(void* token);
void acquire(void* token);
bool has_tsan();

// AddressSanitizer reports accesses to the region. Without it they do nothing and has_asan is
// false.
bool has_asan();
void forbid_access(const void* address, size_t bytes);
void permit_access(const void* address, size_t bytes);

}  // namespace skipbench::emulator
