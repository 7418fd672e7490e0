#include "engine/base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <thread>
#include <vector>

#include "engine/base/error.h"
#include "tests/sanitized.h"

namespace skipbench {
namespace {

TEST(ThreadPool, EveryIndexIsVisitedOnceAndThreadsAreNotShared) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    std::vector<std::atomic<int>> busy(threads);
    for (int64_t count : {0, 1, 2, 7, 64, 1000, 1001}) {
      for (int64_t grain : {1, 3, 64}) {
        std::vector<std::atomic<int>> visits(count);
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end, int thread) {
          EXPECT_EQ(busy[thread].fetch_add(1), 0);
          EXPECT_EQ(begin % grain, 0);
          EXPECT_LT(begin, end);
          for (int64_t i = begin; i < end; ++i) visits[i].fetch_add(1);
          busy[thread].fetch_sub(1);
        });
        for (int64_t i = 0; i < count; ++i) EXPECT_EQ(visits[i].load(), 1) << i << " of " << count;
      }
    }
  }
}

// Plain memory, written in one loop by one thread and read in the next by another.
TEST(ThreadPool, LoopsAreOrdered) {
  ThreadPool pool(4);
  std::vector<int64_t> cells(257, 0);
  for (int64_t loop = 0; loop < 20000; ++loop) {
    pool.parallel_for(257, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) ++cells[i];
    });
    if (loop % 1000 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  for (int64_t cell : cells) ASSERT_EQ(cell, 20000);
}

TEST(ThreadPool, ComesAndGoesWithoutWork) {
  for (int i = 0; i < 200; ++i) ThreadPool pool(3);
}

// Memory for some of the threads' stacks only. In a process of its own, that the limit ends with.
TEST(ThreadPool, MoreThreadsThanTheSystemStarts) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer needs more addresses than the limit leaves";
  const auto start = [] {
    const rlimit limit{.rlim_cur = rlim_t{2} << 30, .rlim_max = rlim_t{2} << 30};
    setrlimit(RLIMIT_AS, &limit);
    try {
      ThreadPool pool(20000);
    } catch (const Error& error) {
      std::cerr << error.what();
      std::_Exit(7);
    }
  };
  EXPECT_EXIT(start(), testing::ExitedWithCode(7),
              "cannot start thread [0-9]+ of 20000: .*; use fewer --threads");
}

TEST(ThreadPool, IdleWorkersSleep) {
  ThreadPool pool(4);
  pool.parallel_for(100, 1, [](int64_t, int64_t, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::clock_t begin = std::clock();  // CPU time of the whole process
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 0.05);
}

}  // namespace
}  // namespace skipbench
