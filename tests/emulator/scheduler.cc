// The threads of a block as fibers: who runs next, who waits for whom, and what is an error.
// Compiled without ThreadSanitizer, which would otherwise see the scheduler's own state as shared
// between CUDA threads; that state stays in plain arrays, since library templates may be linked
// from instrumented files.
#include <cstdlib>
#include <cstring>
#include <memory>

#include "fmt/format.h"
#include "tests/emulator/block.h"
#include "tests/emulator/guarded_memory.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace skipbench::emulator {

Thread threads[kMaxThreads];
Warp warps[kMaxThreads / kWarp];
int thread_count = 0;
int current = 0;
uint64_t block_epoch = 0;
GuardedMemory* dynamic_memory = nullptr;

namespace {

int order[kMaxThreads];    // turn -> thread
int turn_of[kMaxThreads];  // thread -> turn
bool running_grid = false;
Fiber host;
const std::function<void()>* kernel_body = nullptr;
char error_text[1024];  // empty: none
ThreadOrder thread_order;
uint64_t random_state = 1;

// Tokens for ThreadSanitizer. Two per group used in turn: a thread that is already at the next
// barrier must not be seen through this one.
char grid_token, end_token;
char barrier_token[2];

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

void set_error(const std::string& text) {
  const std::string whole = fmt::format(
      "emulated device: block ({},{},{}) of grid ({},{},{}) x {} threads: {}", blockIdx.x,
      blockIdx.y, blockIdx.z, gridDim.x, gridDim.y, gridDim.z, thread_count, text);
  std::strncpy(error_text, whole.c_str(), sizeof(error_text) - 1);
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
  Warp& warp = warps[current / kWarp];
  warp.gone |= lane_bit(current);
  if (warp.waiting == 0) return;
  const int warp_begin = current / kWarp * kWarp;
  for (int i = warp_begin; i < warp_begin + kWarp && i < thread_count; ++i) {
    if (threads[i].state != State::kAtWarpOp) continue;
    if ((threads[i].mask & lane_bit(current)) == 0) continue;
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
    check_copies_have_landed();
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

void run_block() {
  ++block_epoch;
  if (dynamic_memory != nullptr) dynamic_memory->poison();
  make_order();
  for (int i = 0; i < thread_count; ++i) {
    Thread& thread = threads[i];
    thread.state = State::kReady;
    thread.started = thread.waited = false;
    thread.barriers = thread.warp_syncs = 0;
    thread.fiber.restart(&thread_main);
  }
  for (int w = 0; w * kWarp < thread_count; ++w) {
    const int lanes = thread_count - w * kWarp;
    warps[w] = {.gone = lanes < kWarp ? kAllLanes << lanes : 0};
  }
  publish(&grid_token);
  current = order[0];
  threadIdx = threads[current].index;
  host.switch_to(threads[current].fiber);
  acquire(&end_token);
  if (error_text[0] != 0) return;
  const std::string damage = shared_memory_damage();
  if (!damage.empty()) set_error(damage);
}

}  // namespace

bool same_place(const std::source_location& a, const std::source_location& b) {
  // Mostly the very same string.
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

std::string place(const std::source_location& at) {
  return fmt::format("{}:{}", at.file_name(), at.line());
}

std::string thread_name(int thread) {
  const uint3& index = threads[thread].index;
  return fmt::format("thread ({},{},{}) (lane {} of warp {})", index.x, index.y, index.z,
                     thread % kWarp, thread / kWarp);
}

void stop_with(const std::string& text) {
  set_error(text);
  throw Stopped{};
}

void wait_for_turn() {
  const int next = next_thread();
  if (next != current) switch_to(next, false);
  if (error_text[0] != 0) throw Stopped{};
}

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
  if (error_text[0] == 0) return;
  // An exception leaves the frames that it passes as they are.
  for (int i = 0; i < thread_count; ++i) threads[i].fiber.forget_frames();
  throw EmulatorError(error_text);
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

void wait_for_previous_grid() { threads[current].waited = true; }

void check_waited_for_previous() {
  if (threads[current].waited) return;
  stop_with(
      fmt::format("{} ends without wait_for_previous, in a launch that may overlap the one "
                  "before",
                  thread_name(current)));
}

bool in_kernel() { return running_grid; }

}  // namespace skipbench::emulator
