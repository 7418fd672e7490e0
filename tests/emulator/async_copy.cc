// Copies that a thread has started and not yet waited for (cp.async). Compiled without
// ThreadSanitizer, like the scheduler.
#include "fmt/format.h"
#include "tests/emulator/block.h"

namespace skipbench::emulator {
namespace {

constexpr unsigned kMaxCopies = 128;

// Of one thread of the block that runs: a ring, the oldest at `first`.
struct Copies {
  uint64_t epoch = 0;  // block that they belong to
  AsyncCopy copies[kMaxCopies];
  unsigned group_of[kMaxCopies];
  unsigned first = 0;
  unsigned end = 0;
  unsigned group = 0;  // the one that is open
};

Copies of_thread[kMaxThreads];

Copies& current_copies() {
  Copies& own = of_thread[current];
  if (own.epoch != block_epoch) {
    own.epoch = block_epoch;
    own.first = own.end = 0;
    own.group = 0;
  }
  return own;
}

}  // namespace

void start_copy(const AsyncCopy& copy) {
  Copies& own = current_copies();
  if (own.end - own.first == kMaxCopies) {
    stop_with(fmt::format("{} has started {} copies without waiting: more than the emulator keeps",
                          thread_name(current), kMaxCopies));
  }
  own.copies[own.end % kMaxCopies] = copy;
  own.group_of[own.end++ % kMaxCopies] = own.group;
}

void close_copy_group() { ++current_copies().group; }

bool take_landed_copy(int newest_groups, AsyncCopy& copy) {
  Copies& own = current_copies();
  // Groups before `group` are closed; the newest of them may still be under way.
  if (own.first == own.end) return false;
  const unsigned oldest = own.first % kMaxCopies;
  if (own.group_of[oldest] + static_cast<unsigned>(newest_groups) >= own.group) return false;
  copy = own.copies[oldest];
  ++own.first;
  return true;
}

void check_copies_have_landed() {
  const Copies& own = current_copies();
  if (own.first == own.end) return;
  stop_with(fmt::format("{} ends while {} of its copies to shared memory are under way",
                        thread_name(current), own.end - own.first));
}

}  // namespace skipbench::emulator
