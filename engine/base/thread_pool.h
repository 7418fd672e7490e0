// A fixed team of threads for the parallel loops of one backend.
//
// A decoded token is some 200 short loops, so a loop costs about a microsecond: workers spin for a
// short bounded time before they sleep, and a worker that is late (asleep, or descheduled on a
// shared machine) is not waited for, since the others take its part of the loop over.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace skipbench {

class ThreadPool {
 public:
  // `threads` counts the caller: threads - 1 workers are started. At least 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls fn(begin, end, thread) for disjoint ranges that together are [0, count), and returns when
  // all are done; thread is 0 .. threads() - 1 and no two running calls share it. Ranges begin at
  // multiples of `grain` and a thread may get several. Which thread gets which range is not
  // fixed, so results must not depend on it. `fn` must not throw, and must not call parallel_for.
  template <typename Fn>
  void parallel_for(int64_t count, int64_t grain, Fn&& fn) {
    if (count <= 0) return;
    if (threads_ == 1 || count <= grain) {
      fn(int64_t{0}, count, 0);
      return;
    }
    run(count, grain, &fn, [](void* context, int64_t begin, int64_t end, int thread) {
      (*static_cast<std::remove_reference_t<Fn>*>(context))(begin, end, thread);
    });
  }

 private:
  using Call = void (*)(void* context, int64_t begin, int64_t end, int thread);

  // The part of the loop that a thread takes first; `next` is also advanced by helpers.
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  void run(int64_t count, int64_t grain, void* context, Call call);
  void work(int thread);
  void worker(int thread);

  const int threads_;
  // The loop that is open; written by the caller while no worker is inside.
  void* context_ = nullptr;
  Call call_ = nullptr;
  int64_t chunk_ = 1;
  std::unique_ptr<Share[]> shares_;
  // [loop number : 16 | open : 1 | workers inside : 15]: one word, so that a worker enters a loop
  // only while it is open, and the caller closes it and waits for exactly those inside.
  alignas(64) std::atomic<uint32_t> state_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace skipbench
