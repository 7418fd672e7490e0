// The state of the block that runs, shared by the emulator's own files alone. They are compiled
// without ThreadSanitizer, which would otherwise see this as shared between CUDA threads; it stays
// in plain arrays, since library templates may be linked from instrumented files.
#pragma once

#include <source_location>
#include <string>

#include "tests/emulator/cuda_emulator.h"
#include "tests/emulator/fiber.h"

namespace skipbench::emulator {

class GuardedMemory;

constexpr int kMaxThreads = 1024;
constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

enum class State { kReady, kAtBarrier, kAtWarpOp, kDone };

struct Thread {
  Fiber fiber;
  uint3 index;
  State state = State::kDone;
  bool started = false;
  bool waited = false;  // for the launch before, which it may overlap
  std::source_location at;  // of the barrier or warp operation waited for
  WarpOp op = WarpOp::kSync;
  unsigned mask = 0;
  uint64_t value = 0;  // brought, then received
  int parameter = 0;
  int width = kWarp;
  unsigned barriers = 0;    // passed so far
  unsigned warp_syncs = 0;  // full-mask ones passed so far
};

constexpr unsigned lane_bit(int thread) { return 1u << (thread % kWarp); }

// What the lanes of a warp do, as bits.
struct Warp {
  unsigned gone = 0;     // have exited, or do not exist
  unsigned waiting = 0;  // are at a warp operation
  bool uniform = true;   // all of those at the same one with the same mask
  int latest = 0;        // thread that came last to it
};

extern Thread threads[kMaxThreads];
extern Warp warps[kMaxThreads / kWarp];
extern int thread_count;
extern int current;
extern uint64_t block_epoch;           // counts the blocks that have run
extern GuardedMemory* dynamic_memory;  // null: launched without

bool same_place(const std::source_location& a, const std::source_location& b);
std::string place(const std::source_location& at);
std::string thread_name(int thread);

// Unwinds a fiber's stack after an error.
struct Stopped {};

// Ends the grid with this error.
[[noreturn]] void stop_with(const std::string& text);

// Runs other threads until the current one is ready again.
void wait_for_turn();

// Whether the block that ended wrote outside of its shared memory; empty: no.
std::string shared_memory_damage();

}  // namespace skipbench::emulator
