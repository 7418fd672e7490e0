// ^C (SIGINT) and SIGTERM as a flag: the work at hand is finished, then the sweep ends.
#pragma once

#include <csignal>

namespace skipbench {

// Thrown between batches once a signal has come.
struct Interrupted {};

// While one lives, the signals only set the flag; after the outermost they do what they did before.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static bool requested();
  static void check() {
    if (requested()) throw Interrupted();
  }

 private:
  struct sigaction old_interrupt_;
  struct sigaction old_terminate_;
  struct sigaction old_hangup_;
};

}  // namespace skipbench
