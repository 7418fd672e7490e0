#include "engine/base/thread_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <system_error>

#include "engine/base/error.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace skipbench {
namespace {

constexpr uint32_t kInsideMask = 0x7fff;
constexpr uint32_t kOpen = 0x8000;
constexpr int kLoopShift = 16;

// Longer than the host's work between two loops of a token, shorter than a scheduler's time slice:
// an idle engine stops burning the core at once.
constexpr std::chrono::microseconds kSpin{50};

// Chunks per thread: enough for the others to take over from a late thread, few enough that
// claiming them costs nothing.
constexpr int64_t kChunksPerThread = 4;

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// Waits, first spinning, then asleep, until ready(value of state); returns that value.
template <typename Ready>
uint32_t wait_until(const std::atomic<uint32_t>& state, Ready ready) {
  uint32_t value = state.load(std::memory_order_acquire);
  if (ready(value)) return value;
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 8; ++i) {
      relax();
      value = state.load(std::memory_order_acquire);
      if (ready(value)) return value;
    }
  } while (std::chrono::steady_clock::now() < deadline);
  while (!ready(value)) {
    state.wait(value, std::memory_order_acquire);
    value = state.load(std::memory_order_acquire);
  }
  return value;
}

void end_workers(std::vector<std::thread>& workers, std::atomic<uint32_t>& state,
                 std::atomic<bool>& stop) {
  stop.store(true, std::memory_order_relaxed);
  state.fetch_add(1u << kLoopShift, std::memory_order_release);
  state.notify_all();
  for (std::thread& thread : workers) thread.join();
}

}  // namespace

ThreadPool::ThreadPool(int threads)
    : threads_(std::clamp(threads, 1, static_cast<int>(kInsideMask))),
      shares_(std::make_unique<Share[]>(threads_)) {
  workers_.reserve(threads_ - 1);
  for (int thread = 1; thread < threads_; ++thread) {
    try {
      workers_.emplace_back([this, thread] { worker(thread); });
    } catch (const std::system_error& error) {
      end_workers(workers_, state_, stop_);
      throw Error({.what = fmt::format("cannot start thread {} of {}: {}", thread + 1, threads_,
                                       error.code().message()),
                   .hint = "use fewer --threads"});
    }
  }
}

ThreadPool::~ThreadPool() { end_workers(workers_, state_, stop_); }

void ThreadPool::run(int64_t count, int64_t grain, void* context, Call call) {
  assert(grain > 0);
  const int64_t grains = (count + grain - 1) / grain;
  context_ = context;
  call_ = call;
  chunk_ = grain * std::max<int64_t>(1, grains / (threads_ * kChunksPerThread));
  for (int thread = 0; thread < threads_; ++thread) {
    const int64_t begin = grains * thread / threads_ * grain;
    const int64_t end = std::min(count, grains * (thread + 1) / threads_ * grain);
    shares_[thread].next.store(begin, std::memory_order_relaxed);
    shares_[thread].end = end;
  }
  const uint32_t loop = (state_.load(std::memory_order_relaxed) >> kLoopShift) + 1;
  state_.store(loop << kLoopShift | kOpen, std::memory_order_release);
  state_.notify_all();
  work(0);
  state_.fetch_and(~kOpen, std::memory_order_acq_rel);
  wait_until(state_, [](uint32_t value) { return (value & kInsideMask) == 0; });
}

// A thread takes its own share first (the same part of the weights in every pass), then helps.
void ThreadPool::work(int thread) {
  for (int i = 0; i < threads_; ++i) {
    Share& share = shares_[(thread + i) % threads_];
    while (true) {
      const int64_t begin = share.next.fetch_add(chunk_, std::memory_order_relaxed);
      if (begin >= share.end) break;
      call_(context_, begin, std::min(begin + chunk_, share.end), thread);
    }
  }
}

void ThreadPool::worker(int thread) {
  uint32_t done = 0;  // number of the last loop that this worker was in
  while (true) {
    uint32_t value = wait_until(state_, [&](uint32_t v) {
      return stop_.load(std::memory_order_relaxed) || ((v & kOpen) && v >> kLoopShift != done);
    });
    if (stop_.load(std::memory_order_relaxed)) return;
    if (!state_.compare_exchange_strong(value, value + 1, std::memory_order_acq_rel)) continue;
    done = value >> kLoopShift;
    work(thread);
    const uint32_t before = state_.fetch_sub(1, std::memory_order_acq_rel);
    if ((before & (kOpen | kInsideMask)) == 1) state_.notify_all();
  }
}

}  // namespace skipbench
