// The emulated device itself: right kernels give right results in any thread order, and planted
// bugs are found and named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "engine/cuda/errors.h"
#include "engine/cuda/gemm.h"
#include "engine/cuda/graph.h"
#include "engine/cuda/launch.h"
#include "tests/emulator/device_array.h"

namespace skipbench::cuda {
namespace {

using emulator::DeviceArray;
using emulator::EmulatorError;
using emulator::ThreadOrder;
using testing::HasSubstr;

constexpr int kThreads = 256;

const std::vector<ThreadOrder> kOrders = {{ThreadOrder::Kind::kForward, 0},
                                          {ThreadOrder::Kind::kReverse, 0},
                                          {ThreadOrder::Kind::kRandom, 1},
                                          {ThreadOrder::Kind::kRandom, 2}};

template <typename... Params, typename... Args>
void run(void (*kernel)(Params...), const LaunchShape& shape, Args&&... args) {
  launch(kernel, shape, nullptr, std::forward<Args>(args)...);
}

// What the error says when `kernel` runs in each order; fails the test where none is thrown.
template <typename... Params, typename... Args>
void expect_error(const std::string& text, void (*kernel)(Params...), const LaunchShape& shape,
                  Args&&... args) {
  for (const ThreadOrder& order : kOrders) {
    emulator::set_thread_order(order);
    try {
      launch(kernel, shape, nullptr, args...);
      ADD_FAILURE() << "not found in order " << static_cast<int>(order.kind);
    } catch (const EmulatorError& error) {
      EXPECT_THAT(error.what(), HasSubstr(text));
      EXPECT_THAT(error.what(), HasSubstr("emulator_test.cc:"));
    }
  }
  emulator::set_thread_order({});
}

struct Partial {
  float sum[32];
};

// Sum of a block's values in every thread; `Barrier` false leaves out what orders the two stages.
template <bool Barrier>
float block_sum(float value) {
  Partial& partial = block_shared<Partial>();
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(kFullWarp, value, offset);
  if (threadIdx.x % 32 == 0) partial.sum[threadIdx.x / 32] = value;
  if (Barrier) __syncthreads();
  float sum = 0;
  for (unsigned i = 0; i < blockDim.x / 32; ++i) sum += partial.sum[i];
  return sum;
}

template <bool Barrier>
__global__ void sum_kernel(const float* in, float* out) {
  const unsigned index = blockIdx.x * blockDim.x + threadIdx.x;
  out[index] = block_sum<Barrier>(in[index]);
}

TEST(Emulator, SumsInEveryOrder) {
  DeviceArray<float> in(3 * kThreads, 1.0f);
  DeviceArray<float> out(3 * kThreads);
  for (const ThreadOrder& order : kOrders) {
    emulator::set_thread_order(order);
    run(sum_kernel<true>, {3, kThreads}, in.data(), out.data());
    EXPECT_EQ(out.host(), std::vector<float>(3 * kThreads, kThreads));
  }
  emulator::set_thread_order({});
}

TEST(Emulator, MissingBarrierInAReductionGivesWrongNumbers) {
  if (emulator::has_tsan()) GTEST_SKIP() << "PlantedBugs.MissingBarrierIsARace looks at it";
  DeviceArray<float> in(kThreads, 1.0f);
  for (const ThreadOrder& order : kOrders) {
    emulator::set_thread_order(order);
    DeviceArray<float> out(kThreads);
    run(sum_kernel<false>, {1, kThreads}, in.data(), out.data());
    // What was not written yet is NaN.
    EXPECT_NE(out.host(), std::vector<float>(kThreads, kThreads));
  }
  emulator::set_thread_order({});
}

__global__ void warp_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int* row = out + threadIdx.x * 9;
  row[0] = __shfl_sync(kFullWarp, lane, 7);
  row[1] = __shfl_up_sync(kFullWarp, lane, 3);
  row[2] = __shfl_down_sync(kFullWarp, lane, 3);
  row[3] = __shfl_xor_sync(kFullWarp, lane, 9);
  row[4] = __shfl_down_sync(kFullWarp, lane, 3, 8);
  row[5] = static_cast<int>(__ballot_sync(kFullWarp, lane % 3 == 0));
  row[6] = __any_sync(kFullWarp, lane == 31) + 2 * __all_sync(kFullWarp, lane < 31);
  row[7] = static_cast<int>(__match_any_sync(kFullWarp, lane / 16));
  row[8] = __shfl_sync(kFullWarp, lane, 1, 4);
}

TEST(Emulator, WarpOperationsGiveWhatCudaDefines) {
  for (const ThreadOrder& order : kOrders) {
    emulator::set_thread_order(order);
    DeviceArray<int> out(64 * 9);
    run(warp_kernel, {1, 64}, out.data());
    const std::vector<int> got = out.host();
    for (int thread = 0; thread < 64; ++thread) {
      const int lane = thread % 32;
      const std::vector<int> want = {7,
                                     lane < 3 ? lane : lane - 3,
                                     lane > 28 ? lane : lane + 3,
                                     lane ^ 9,
                                     lane % 8 > 4 ? lane : lane + 3,
                                     0x49249249,
                                     1,
                                     lane < 16 ? 0xffff : static_cast<int>(0xffff0000u),
                                     lane / 4 * 4 + 1};
      EXPECT_EQ(std::vector<int>(got.begin() + thread * 9, got.begin() + thread * 9 + 9), want);
    }
  }
  emulator::set_thread_order({});
}

__global__ void index_kernel(unsigned* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  atomicAdd(&out[block * blockDim.x * blockDim.y * blockDim.z + thread], 1u);
  atomicMax(&out[960], block * 10 + thread);
  atomicCAS(&out[961], 0xffffffffu, 5u);
}

TEST(Emulator, EveryIndexOnceInThreeDimensions) {
  DeviceArray<unsigned> out(962, 0u);
  run(index_kernel, {dim3(2, 3, 2), dim3(5, 4, 4)}, out.data());
  const std::vector<unsigned> got = out.host();
  for (int i = 0; i < 960; ++i) EXPECT_EQ(got[i], 1u);
  EXPECT_EQ(got[960], 110u + 79u);
  EXPECT_EQ(got[961], 0u);
}

__global__ void early_return_kernel(int* out) {
  if (threadIdx.x >= 32) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

TEST(Emulator, AWarpThatHasExitedDoesNotHoldUpABarrier) {
  DeviceArray<int> out(32);
  run(early_return_kernel, {1, 64}, out.data());
  EXPECT_EQ(out.host(), std::vector<int>(32, 1));
}

// --- planted bugs --------------------------------------------------------------------------------

__global__ void divergent_barrier_kernel() {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST(PlantedBugs, DivergentBarrier) {
  expect_error("different barriers", divergent_barrier_kernel, {1, 64});
}

__global__ void gone_lane_kernel(float* out) {
  if (threadIdx.x == 3) return;
  out[threadIdx.x] = __shfl_xor_sync(kFullWarp, 1.0f, 1);
}

TEST(PlantedBugs, LaneGoneBeforeAShuffle) {
  DeviceArray<float> out(32);
  expect_error("for a lane that has exited", gone_lane_kernel, {1, 32}, out.data());
}

__global__ void part_of_a_warp_kernel() { __syncwarp(); }

TEST(PlantedBugs, LaneThatNeverExisted) {
  expect_error("does not exist", part_of_a_warp_kernel, {1, 40});
}

__global__ void mask_kernel() { __syncwarp(threadIdx.x < 16 ? 0xffffffffu : 0xffff0001u); }

TEST(PlantedBugs, MismatchedMask) { expect_error("mismatched masks", mask_kernel, {1, 32}); }

__global__ void foreign_mask_kernel() { __syncwarp(0xffffu); }

TEST(PlantedBugs, LaneOutsideOfItsOwnMask) {
  expect_error("not in its own mask", foreign_mask_kernel, {1, 32});
}

__global__ void divergent_shuffle_kernel(float* out) {
  if (threadIdx.x < 16) {
    out[0] = __shfl_sync(kFullWarp, 1.0f, 0);
  } else {
    out[1] = __shfl_sync(kFullWarp, 2.0f, 0);
  }
}

TEST(PlantedBugs, DivergentShuffle) {
  DeviceArray<float> out(2);
  expect_error("different warp operations", divergent_shuffle_kernel, {1, 32}, out.data());
}

__global__ void deadlock_kernel() {
  if (threadIdx.x == 0) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

TEST(PlantedBugs, Deadlock) { expect_error("deadlock", deadlock_kernel, {1, 32}); }

__global__ void shared_overrun_kernel(int index) { dynamic_shared<float>()[index] = 1; }

TEST(PlantedBugs, OnePastDynamicSharedMemory) {
  if (emulator::has_asan()) {
    EXPECT_DEATH(run(shared_overrun_kernel, {1, 1, 100}, 25), "shared_overrun_kernel");
  } else {
    EXPECT_THROW(run(shared_overrun_kernel, {1, 1, 100}, 25), EmulatorError);
  }
  run(shared_overrun_kernel, {1, 1, 100}, 24);
}

__global__ void write_kernel(float* out, int index) { out[index] = 1; }

TEST(PlantedBugs, OneOutsideOfAnAllocation) {
  DeviceArray<float> out(33);
  for (const int index : {-1, 33}) {
    if (emulator::has_asan()) {
      EXPECT_DEATH(run(write_kernel, {1, 1}, out.data(), index), "write_kernel");
      continue;
    }
    EXPECT_THROW(run(write_kernel, {1, 1}, out.data(), index), EmulatorError);
    out.data()[index] = std::bit_cast<float>(0xA5A5A5A5);
  }
}

TEST(PlantedBugs, WriteAfterFree) {
  float* freed = nullptr;
  CUDA_CHECK(cudaMalloc(&freed, 400));
  CUDA_CHECK(cudaFree(freed));
  if (emulator::has_asan()) {
    EXPECT_DEATH(run(write_kernel, {1, 1}, freed, 3), "write_kernel");
    return;
  }
  run(write_kernel, {1, 1}, freed, 3);
  EXPECT_THROW(emulator::check_freed_memory(), EmulatorError);
  std::memset(freed, 0xFD, 400);
}

__global__ void read_unset_kernel(float* out) {
  out[threadIdx.x] = dynamic_shared<float>()[threadIdx.x];
}

TEST(PlantedBugs, SharedMemoryIsUnsetInEveryBlock) {
  DeviceArray<float> out(32);
  run(read_unset_kernel, {2, 32, 128}, out.data());
  for (const float value : out.host()) EXPECT_TRUE(std::isnan(value));
}

template <bool Barrier>
__global__ void reuse_kernel(const float* in, float* out) {
  const float first = block_sum<true>(in[threadIdx.x]);
  if (Barrier) __syncthreads();
  out[threadIdx.x] = first + block_sum<true>(2 * in[threadIdx.x]);
}

// Passes in any order of threads: only the race detector sees it.
TEST(PlantedBugs, SharedMemoryReusedWithoutABarrier) {
  if (!emulator::has_tsan()) GTEST_SKIP() << "needs ThreadSanitizer (preset emulated-tsan)";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  DeviceArray<float> in(kThreads, 1.0f);
  DeviceArray<float> out(kThreads);
  run(reuse_kernel<true>, {3, kThreads}, in.data(), out.data());
  const auto buggy = [&] {
    run(reuse_kernel<false>, {1, kThreads}, in.data(), out.data());
    std::exit(0);  // ThreadSanitizer turns it into 66
  };
  EXPECT_EXIT(buggy(), testing::ExitedWithCode(66), "data race(.|\n)*block_sum");
}

TEST(PlantedBugs, MissingBarrierIsARace) {
  if (!emulator::has_tsan()) GTEST_SKIP() << "needs ThreadSanitizer (preset emulated-tsan)";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  DeviceArray<float> in(kThreads, 1.0f);
  DeviceArray<float> out(kThreads);
  const auto buggy = [&] {
    run(sum_kernel<false>, {1, kThreads}, in.data(), out.data());
    std::exit(0);
  };
  EXPECT_EXIT(buggy(), testing::ExitedWithCode(66), "data race(.|\n)*block_sum");
}

// --- runtime -------------------------------------------------------------------------------------

TEST(Runtime, RefusesWhatAGpuRefuses) {
  EXPECT_THROW(run(part_of_a_warp_kernel, {1, 2048}), Error);
  EXPECT_THROW(run(part_of_a_warp_kernel, {dim3(1, 70000), 32}), Error);
  EXPECT_THROW(run(read_unset_kernel, {1, 32, 64 << 10}, nullptr), Error);
  DeviceArray<float> out(32);
  std::map<const void*, size_t> allowed;
  allow_shared_bytes(allowed, read_unset_kernel, 64 << 10);
  allow_shared_bytes(allowed, read_unset_kernel, 1 << 10);  // takes nothing back
  run(read_unset_kernel, {1, 32, 64 << 10}, out.data());
  EXPECT_THROW(allow_shared_bytes(allowed, read_unset_kernel, 300 << 10), Error);
}

TEST(Runtime, OutOfMemoryIsItsOwnError) {
  const size_t before = emulator::memory_in_use();
  emulator::set_memory_bytes(before + 1000);
  void* address = nullptr;
  EXPECT_THROW(CUDA_CHECK(cudaMalloc(&address, 1001)), OutOfMemory);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  CUDA_CHECK(cudaMalloc(&address, 1000));
  CUDA_CHECK(cudaFree(address));
  EXPECT_EQ(emulator::memory_in_use(), before);
  emulator::set_memory_bytes(size_t{16} << 30);
}

TEST(Runtime, CopiesStayInsideOfAllocations) {
  DeviceArray<float> array(10);
  std::vector<float> host(11);
  EXPECT_THROW(cudaMemcpy(array.data(), host.data(), 44, cudaMemcpyHostToDevice), EmulatorError);
  EXPECT_THROW(cudaMemcpy(host.data(), host.data() + 1, 4, cudaMemcpyDeviceToHost), EmulatorError);
}

__global__ void increment_kernel(int* value, int by) {
  if (threadIdx.x == 0) *value += by;
}

TEST(Runtime, GraphReplaysAndAsksThePredicateEachTime) {
  DeviceArray<int> value(1, 0);
  DeviceArray<int32_t> flag(1, 0);
  const auto graph = record_graph(nullptr, [&] {
    run(increment_kernel, {1, 32}, value.data(), 1);
    record_if(nullptr, flag.data(), [&](cudaStream_t) {
      run(increment_kernel, {1, 32}, value.data(), 10);
      run(increment_kernel, {1, 32}, flag.data(), -1);
      record_if(nullptr, flag.data(), [&](cudaStream_t) {
        run(increment_kernel, {1, 32}, value.data(), 100);
      });
    });
    EXPECT_THROW(CUDA_CHECK(cudaStreamSynchronize(nullptr)), Error);
  });
  EXPECT_EQ(value.host()[0], 0);
  graph->launch(nullptr);
  EXPECT_EQ(value.host()[0], 1);
  flag.set(2);
  graph->launch(nullptr);
  EXPECT_EQ(value.host()[0], 1 + 1 + 10 + 100);
  graph->launch(nullptr);
  EXPECT_EQ(value.host()[0], 112 + 1 + 10);
  EXPECT_THROW(record_if(nullptr, flag.data(), [](cudaStream_t) {}), Error);
}

TEST(Runtime, ProductAddsToTheOutputWhereAskedFor) {
  DeviceArray<float> in(6, 2.0f);
  DeviceArray<float> weight(12, 3.0f);
  DeviceArray<float> out(8, 1.0f);
  const auto gemm = make_gemm();
  GemmArgs args{.in = in.data(),
                .weight = weight.data(),
                .out = out.data(),
                .m = 2,
                .n = 4,
                .k = 3,
                .in_stride = 3,
                .weight_stride = 3,
                .out_stride = 4};
  args.accumulate = true;
  gemm->run(args, nullptr);
  EXPECT_EQ(out.host(), std::vector<float>(8, 19.0f));
  args.accumulate = false;
  gemm->run(args, nullptr);
  EXPECT_EQ(out.host(), std::vector<float>(8, 18.0f));
}

TEST(ThreadOrders, AreParsed) {
  EXPECT_EQ(emulator::parse_thread_order("random:17").seed, 17u);
  EXPECT_EQ(emulator::parse_thread_order("reverse").kind, ThreadOrder::Kind::kReverse);
  EXPECT_THROW(emulator::parse_thread_order("backwards"), EmulatorError);
}

}  // namespace
}  // namespace skipbench::cuda
