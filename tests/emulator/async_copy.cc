// Copies that a thread has started and not yet waited for (cp.async). Compiled without
// ThreadSanitizer, like the scheduler.
#include "fmt/format.h"
#include "tests/emulator/block.h"

namespace skipbench::emulator {
namespace {

constexpr int kMaxCopies = 128;

// Of one thread of the block that runs, oldest first.
struct Copies {
  uint64_t epoch = 0;  // block that they belong to
  AsyncCopy copies[kMaxCopies];
  unsigned group_of[kMaxCopies];
  int first = 0;
  int end = 0;
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
  if (own.first == own.end) own.first = own.end = 0;
  if (own.end == kMaxCopies) {
    stop_with(fmt::format("{} has started {} copies without waiting: more than the emulator keeps",
                          thread_name(current), kMaxCopies));
  }
  own.copies[own.end] = copy;
  own.group_of[own.end++] = own.group;
}

void close_copy_group() { ++current_copies().group; }

bool take_landed_copy(int newest_groups, AsyncCopy& copy) {
  Copies& own = current_copies();
  // Groups before `group` are closed; the newest of them may still be under way.
  if (own.first == own.end) return false;
  if (own.group_of[own.first] + static_cast<unsigned>(newest_groups) >= own.group) return false;
  copy = own.copies[own.first++];
  return true;
}

}  // namespace skipbench::emulator
