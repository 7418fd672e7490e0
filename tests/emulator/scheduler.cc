// The threads of a block as fibers: who runs next, who waits for whom, and what is an error.
// Compiled without ThreadSanitizer, which would otherwise see the scheduler's own state as shared
// between CUDA threads; that state stays in plain arrays, since library templates may be linked
// from instrumented files.
#include <cstdlib>
#include <cstring>
#include <memory>

#include "fmt/format.h"
#include "tests/emulator/cuda_emulator.h"
#include "tests/emulator/fiber.h"
#include "tests/emulator/guarded_memory.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace skipbench::emulator {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

enum class State { kReady, kAtBarrier, kAtWarpOp, kDone };

struct Thread {
  Fiber fiber;
  uint3 index;
  State state = State::kDone;
  bool started = false;
  std::source_location at;  // of the barrier or warp operation waited for
  WarpOp op = WarpOp::kSync;
  unsigned mask = 0;
  uint64_t value = 0;  // brought, then received
  int parameter = 0;
  int width = kWarp;
  unsigned barriers = 0;    // passed so far
  unsigned warp_syncs = 0;  // full-mask ones passed so far
};

Thread threads[kMaxThreads];
int order[kMaxThreads];    // turn -> thread
int turn_of[kMaxThreads];  // thread -> turn
int thread_count = 0;
int current = 0;
bool running_grid = false;
Fiber host;
const std::function<void()>* kernel_body = nullptr;
char error_text[1024];  // empty: none
uint64_t block_epoch = 0;
GuardedMemory* dynamic_memory = nullptr;

ThreadOrder thread_order;
uint64_t random_state = 1;

// Tokens for ThreadSanitizer. Two per group used in turn: a thread that is already at the next
// barrier must not be seen through this one.
char grid_token, end_token;
char barrier_token[2];
char warp_token[kMaxThreads / kWarp][3];  // [2]: partial masks

struct SlotNode {
  std::unique_ptr<GuardedMemory> memory;
  uint64_t epoch = 0;
  SlotNode* next = nullptr;
};
SlotNode* slots = nullptr;

uint64_t random_number() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

void make_order() {
  for (int i = 0; i < thread_count; ++i) order[i] = i;
  if (thread_order.kind == ThreadOrder::Kind::kReverse) {
    for (int i = 0; i < thread_count; ++i) order[i] = thread_count - 1 - i;
  } else if (thread_order.kind == ThreadOrder::Kind::kRandom) {
    for (int i = thread_count - 1; i > 0; --i) {
      const auto other = static_cast<int>(random_number() % static_cast<uint64_t>(i + 1));
      const int swapped = order[i];
      order[i] = order[other];
      order[other] = swapped;
    }
  }
  for (int i = 0; i < thread_count; ++i) turn_of[order[i]] = i;
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         std::strcmp(a.file_name(), b.file_name()) == 0;
}

std::string place(const std::source_location& at) {
  return fmt::format("{}:{}", at.file_name(), at.line());
}

std::string thread_name(int thread) {
  const uint3& index = threads[thread].index;
  return fmt::format("thread ({},{},{}) (lane {} of warp {})", index.x, index.y, index.z,
                     thread % kWarp, thread / kWarp);
}

void set_error(const std::string& text) {
  const std::string whole = fmt::format(
      "emulated device: block ({},{},{}) of grid ({},{},{}) x {} threads: {}", blockIdx.x,
      blockIdx.y, blockIdx.z, gridDim.x, gridDim.y, gridDim.z, thread_count, text);
  std::strncpy(error_text, whole.c_str(), sizeof(error_text) - 1);
}

// Unwinds a fiber's stack after an error.
struct Stopped {};

[[noreturn]] void stop_with(const std::string& text) {
  set_error(text);
  throw Stopped{};
}

std::string waiting_threads() {
  std::string text;
  int named = 0;
  for (int i = 0; i < thread_count && named < 3; ++i) {
    const Thread& thread = threads[i];
    const bool first_of_kind =
        i == 0 || threads[i - 1].state != thread.state || !same_place(threads[i - 1].at, thread.at);
    if (thread.state == State::kDone || !first_of_kind) continue;
    text += fmt::format("; {} waits at the {} at {}", thread_name(i),
                        thread.state == State::kAtBarrier ? "barrier" : "warp operation",
                        place(thread.at));
    ++named;
  }
  return text;
}

// All live threads wait at the barrier: lets them go, if it is one and the same.
void release_barrier() {
  int first = -1;
  for (int i = 0; i < thread_count; ++i) {
    if (threads[i].state != State::kAtBarrier) continue;
    if (first < 0) first = i;
    if (!same_place(threads[i].at, threads[first].at)) {
      stop_with(fmt::format("threads wait at different barriers: {} at {}, {} at {}",
                            thread_name(first), place(threads[first].at), thread_name(i),
                            place(threads[i].at)));
    }
    threads[i].state = State::kReady;
  }
}

// The next thread that can run, in turn after the current one; -1 when all are done.
int next_thread() {
  for (int attempt = 0; attempt < 2; ++attempt) {
    bool any_at_barrier = false;
    bool any_at_warp_op = false;
    const int begin = thread_order.kind == ThreadOrder::Kind::kRandom
                          ? static_cast<int>(random_number() % static_cast<uint64_t>(thread_count))
                          : turn_of[current] + 1;
    for (int i = 0; i < thread_count; ++i) {
      const int turn = begin + i < thread_count ? begin + i : begin + i - thread_count;
      const State state = threads[order[turn]].state;
      if (state == State::kReady) return order[turn];
      any_at_barrier |= state == State::kAtBarrier;
      any_at_warp_op |= state == State::kAtWarpOp;
    }
    if (any_at_warp_op) stop_with("deadlock" + waiting_threads());
    if (!any_at_barrier) return -1;
    release_barrier();
  }
  return -1;
}

// Continues thread `next`, or run_block for -1.
void switch_to(int next, bool last) {
  Fiber& left = threads[current].fiber;
  if (next >= 0) {
    current = next;
    threadIdx = threads[next].index;
  }
  left.switch_to(next < 0 ? host : threads[next].fiber, last);
}

void wait_for_turn() {
  const int next = next_thread();
  if (next != current) switch_to(next, false);
  if (error_text[0] != 0) throw Stopped{};
}

// After an error: a thread whose stack must still be unwound, or -1.
int next_to_unwind() {
  for (int i = 0; i < thread_count; ++i) {
    if (threads[i].started && threads[i].state != State::kDone) return i;
  }
  return -1;
}

// The current thread has returned from the kernel.
void mark_done() {
  threads[current].state = State::kDone;
  const int warp_begin = current / kWarp * kWarp;
  for (int i = warp_begin; i < warp_begin + kWarp && i < thread_count; ++i) {
    if (threads[i].state != State::kAtWarpOp) continue;
    if ((threads[i].mask >> (current % kWarp) & 1) == 0) continue;
    stop_with(fmt::format("{} waits at the warp operation at {} for a lane that has exited: {}",
                          thread_name(i), place(threads[i].at), thread_name(current)));
  }
}

void thread_main() {
  int next = -1;
  threads[current].started = true;
  acquire(&grid_token);
  try {
    (*kernel_body)();
    mark_done();
    next = next_thread();
  } catch (const Stopped&) {
  } catch (const std::exception& error) {
    set_error(fmt::format("{}: {}", thread_name(current), error.what()));
  }
  threads[current].state = State::kDone;
  if (error_text[0] != 0) next = next_to_unwind();
  publish(&end_token);
  switch_to(next, true);
  std::abort();  // nobody comes back here
}

// Lane whose value `lane` receives, or -1 for its own.
int source_lane(const Thread& thread, int lane) {
  const int begin = lane & ~(thread.width - 1);
  const int end = begin + thread.width;
  int source = lane;
  switch (thread.op) {
    case WarpOp::kShuffle:
      source = begin + (thread.parameter & (thread.width - 1));
      break;
    case WarpOp::kShuffleUp:
      source = lane - thread.parameter;
      break;
    case WarpOp::kShuffleDown:
      source = lane + thread.parameter;
      break;
    case WarpOp::kShuffleXor:
      source = lane ^ thread.parameter;
      break;
    default:
      break;
  }
  const bool inside = source < end && (source >= begin || thread.op == WarpOp::kShuffleXor);
  return inside ? source : -1;
}

// All lanes of the mask are here: every one gets its value and may go on.
void complete_warp_op(int warp_begin, unsigned mask) {
  uint64_t brought[kWarp] = {};
  unsigned ballot = 0;
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    brought[lane] = threads[warp_begin + lane].value;
    if (brought[lane] != 0) ballot |= 1u << lane;
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    Thread& thread = threads[warp_begin + lane];
    thread.state = State::kReady;
    if (thread.op == WarpOp::kBallot) {
      thread.value = ballot;
    } else if (thread.op == WarpOp::kMatch) {
      unsigned equal = 0;
      for (int other = 0; other < kWarp; ++other) {
        if ((mask >> other & 1) != 0 && brought[other] == brought[lane]) equal |= 1u << other;
      }
      thread.value = equal;
    } else if (thread.op != WarpOp::kSync) {
      const int source = source_lane(thread, lane);
      if (source >= 0 && (mask >> source & 1) == 0) {
        stop_with(fmt::format("{} reads from lane {}, which is not in its mask {:#x}, at {}",
                              thread_name(warp_begin + lane), source, mask, place(thread.at)));
      }
      if (source >= 0) thread.value = brought[source];
    }
  }
}

// Whether all lanes of the current thread's mask have come; stops where they never will.
bool warp_is_complete(int warp_begin) {
  const Thread& self = threads[current];
  bool complete = true;
  for (int lane = 0; lane < kWarp; ++lane) {
    const int other = warp_begin + lane;
    const bool waits_for_this = other < thread_count && threads[other].state == State::kAtWarpOp &&
                                (threads[other].mask >> (current % kWarp) & 1) != 0;
    if ((self.mask >> lane & 1) == 0 && !waits_for_this) continue;
    if (other >= thread_count || threads[other].state == State::kDone) {
      stop_with(fmt::format("{} waits at the warp operation at {} for a lane that {}: lane {}",
                            thread_name(current), place(self.at),
                            other >= thread_count ? "does not exist" : "has exited", lane));
    }
    if (threads[other].state != State::kAtWarpOp) {
      complete = false;
      continue;
    }
    if (threads[other].mask != self.mask) {
      stop_with(fmt::format("mismatched masks: {} at {} with {:#x}, {} at {} with {:#x}",
                            thread_name(current), place(self.at), self.mask, thread_name(other),
                            place(threads[other].at), threads[other].mask));
    }
    if (threads[other].op != self.op || !same_place(threads[other].at, self.at)) {
      stop_with(fmt::format("lanes of one warp at different warp operations: {} at {}, {} at {}",
                            thread_name(current), place(self.at), thread_name(other),
                            place(threads[other].at)));
    }
  }
  return complete;
}

void run_block() {
  ++block_epoch;
  if (dynamic_memory != nullptr) dynamic_memory->poison();
  make_order();
  for (int i = 0; i < thread_count; ++i) {
    Thread& thread = threads[i];
    thread.state = State::kReady;
    thread.started = false;
    thread.barriers = thread.warp_syncs = 0;
    thread.fiber.restart(&thread_main);
  }
  publish(&grid_token);
  current = order[0];
  threadIdx = threads[current].index;
  host.switch_to(threads[current].fiber);
  acquire(&end_token);
  if (error_text[0] != 0) return;
  if (dynamic_memory != nullptr && !dynamic_memory->guards_intact()) {
    set_error(fmt::format("wrote outside of its {} bytes of dynamic shared memory",
                          dynamic_memory->bytes()));
  }
  for (SlotNode* slot = slots; slot != nullptr; slot = slot->next) {
    if (slot->epoch == block_epoch && !slot->memory->guards_intact()) {
      set_error(fmt::format("wrote outside of an object of {} bytes in shared memory",
                            slot->memory->bytes()));
    }
  }
}

}  // namespace

ThreadOrder parse_thread_order(const std::string& text) {
  if (text.empty() || text == "forward") return {};
  if (text == "reverse") return {ThreadOrder::Kind::kReverse, 0};
  const std::string random = "random:";
  if (text.starts_with(random)) {
    return {ThreadOrder::Kind::kRandom, std::strtoull(text.c_str() + random.size(), nullptr, 10)};
  }
  throw EmulatorError("thread order '" + text + "': expected forward, reverse or random:SEED");
}

void set_thread_order(ThreadOrder wanted) {
  thread_order = wanted;
  random_state = wanted.seed * 0x9e3779b97f4a7c15u + 1;
}

void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  static const bool order_from_environment = [] {
    const char* text = std::getenv("SKIPBENCH_EMULATOR_ORDER");
    if (text != nullptr) set_thread_order(parse_thread_order(text));
    return text != nullptr;
  }();
  static_cast<void>(order_from_environment);
  if (running_grid) throw EmulatorError("a kernel launched a kernel");
  const std::unique_ptr<GuardedMemory> shared(
      shared_bytes > 0 ? std::make_unique<GuardedMemory>(shared_bytes) : nullptr);
  dynamic_memory = shared.get();
  gridDim = grid;
  blockDim = block;
  thread_count = static_cast<int>(block.x * block.y * block.z);
  for (int i = 0; i < thread_count; ++i) {
    const auto id = static_cast<unsigned>(i);
    threads[i].index = {id % block.x, id / block.x % block.y, id / (block.x * block.y)};
  }
  kernel_body = &body;
  error_text[0] = 0;
  host.adopt_current();
  running_grid = true;
  for (unsigned z = 0; z < grid.z && error_text[0] == 0; ++z) {
    for (unsigned y = 0; y < grid.y && error_text[0] == 0; ++y) {
      for (unsigned x = 0; x < grid.x && error_text[0] == 0; ++x) {
        blockIdx = {x, y, z};
        run_block();
      }
    }
  }
  running_grid = false;
  dynamic_memory = nullptr;
  if (error_text[0] != 0) throw EmulatorError(error_text);
}

void block_barrier(const std::source_location& at) {
  Thread& self = threads[current];
  void* token = &barrier_token[self.barriers++ & 1];
  self.state = State::kAtBarrier;
  self.at = at;
  publish(token);
  wait_for_turn();
  acquire(token);
}

uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, int parameter, int width,
                        const std::source_location& at) {
  Thread& self = threads[current];
  if ((mask >> (current % kWarp) & 1) == 0) {
    stop_with(fmt::format("{} is not in its own mask {:#x} at {}", thread_name(current), mask,
                          place(at)));
  }
  self.op = op;
  self.mask = mask;
  self.value = value;
  self.parameter = parameter;
  self.width = width;
  self.at = at;
  self.state = State::kAtWarpOp;
  // Only __syncwarp orders memory; the others exchange values and nothing else (CUDA C++
  // Programming Guide, "Warp Shuffle Functions").
  void* token = nullptr;
  if (op == WarpOp::kSync) {
    token = &warp_token[current / kWarp][mask == kAllLanes ? self.warp_syncs++ & 1 : 2];
    publish(token);
  }
  const int warp_begin = current / kWarp * kWarp;
  if (warp_is_complete(warp_begin)) {
    complete_warp_op(warp_begin, mask);
  } else {
    wait_for_turn();
  }
  if (token != nullptr) acquire(token);
  return self.value;
}

void* dynamic_shared_memory() {
  if (dynamic_memory == nullptr) {
    stop_with("asks for dynamic shared memory, but was launched with 0 bytes of it");
  }
  return dynamic_memory->data();
}

SharedSlot::SharedSlot(size_t bytes) {
  auto* node = new SlotNode{std::make_unique<GuardedMemory>(bytes), 0, slots};
  slots = node;
  node_ = node;
}

void* SharedSlot::memory() const {
  auto* node = static_cast<SlotNode*>(node_);
  if (node->epoch != block_epoch) {
    node->epoch = block_epoch;
    node->memory->poison();
  }
  return node->memory->data();
}

bool in_kernel() { return running_grid; }

}  // namespace skipbench::emulator
