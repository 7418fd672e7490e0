// What kernels on tensor cores and overlapping launches ask of the emulated device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "engine/cuda/launch.h"
#include "engine/cuda/ptx.cuh"
#include "tests/emulator/device_array.h"

namespace skipbench::cuda {
namespace {

using emulator::DeviceArray;
using emulator::EmulatorError;

// A [16, 16] and b [16, 8] in f16, d [16, 8] in f32, row after row: each lane brings what the PTX
// ISA gives it.
__global__ void product_kernel(const F16* a, const F16* b, float* d) {
  const int g = static_cast<int>(threadIdx.x) / 4;
  const int t = static_cast<int>(threadIdx.x) % 4;
  const auto pair = [](F16 low, F16 high) {
    return static_cast<uint32_t>(low.bits) | static_cast<uint32_t>(high.bits) << 16;
  };
  ptx::FragmentA left{};
  ptx::FragmentB right{};
  for (int i = 0; i < 4; ++i) {
    const F16* at = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
    left.word[i] = pair(at[0], at[1]);
  }
  for (int i = 0; i < 2; ++i) {
    const int k = 2 * t + i * 8;
    right.word[i] = pair(b[k * 8 + g], b[(k + 1) * 8 + g]);
  }
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = d[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  ptx::multiply_16x8x16<F16>(left, right, sums);
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

TEST(Emulator, AProductOfAWarpIsThatOfItsMatrices) {
  DeviceArray<F16> left(256), right(128);
  DeviceArray<float> out(128);
  for (int i = 0; i < 256; ++i)
    left.data()[i] = from_float<F16>(static_cast<float>(i * 7 % 11 - 5));
  for (int i = 0; i < 128; ++i)
    right.data()[i] = from_float<F16>(static_cast<float>(i * 5 % 13 - 6));
  for (int i = 0; i < 128; ++i) out.data()[i] = 3;
  launch(product_kernel, {.grid = dim3(1), .block = dim3(32)}, nullptr, left.data(), right.data(),
         out.data());
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float want = 3;
      for (int k = 0; k < 16; ++k) {
        want += to_float(left.data()[row * 16 + k]) * to_float(right.data()[k * 8 + column]);
      }
      EXPECT_EQ(out.data()[row * 8 + column], want) << row << ", " << column;
    }
  }
}

// Sixteen by sixteen elements, row after row with a pitch of 24, as each lane gets them for b.
__global__ void fragments_kernel(const F16* in, uint32_t* columns, uint32_t* rows) {
  constexpr int kPitch = 24;
  F16* tile = dynamic_shared<F16>();
  const auto lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) tile[i / 16 * kPitch + i % 16] = in[i];
  __syncwarp();
  ptx::FragmentB b[2];
  ptx::load_columns(tile, kPitch, b);
  for (int i = 0; i < 4; ++i) columns[4 * lane + i] = b[i / 2].word[i % 2];
  ptx::load_rows(tile, kPitch, b);
  for (int i = 0; i < 4; ++i) rows[4 * lane + i] = b[i / 2].word[i % 2];
}

// Word w of b[i] holds (k, n) and (k + 1, n) with k = 2 t + 8 w, n = 8 i + g (PTX ISA, "Matrix
// Fragments for mma.m16n8k16").
TEST(Emulator, FragmentsOfATileInSharedMemory) {
  DeviceArray<F16> in(256);
  DeviceArray<uint32_t> columns(128), rows(128);
  for (int i = 0; i < 256; ++i) in.data()[i].bits = static_cast<uint16_t>(i);
  launch(fragments_kernel, {.grid = dim3(1), .block = dim3(32), .shared_bytes = 16 * 24 * 2},
         nullptr, in.data(), columns.data(), rows.data());
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const auto k = static_cast<uint32_t>(lane % 4 * 2 + i % 2 * 8);
      const auto n = static_cast<uint32_t>(i / 2 * 8 + lane / 4);
      EXPECT_EQ(columns.data()[4 * lane + i], (16 * n + k) | (16 * n + k + 1) << 16);
      EXPECT_EQ(rows.data()[4 * lane + i], (16 * k + n) | (16 * (k + 1) + n) << 16);
    }
  }
}

// Copies two groups of 16 bytes, waits for all but the newest `kLeft`, sends on what is there, and
// waits for the rest where `waits`.
template <int kLeft>
__global__ void copy_kernel(const uint4* in, uint4* out, bool waits) {
  uint4* shared = dynamic_shared<uint4>();
  for (int i = 0; i < 2; ++i) {
    ptx::copy_async16(shared + i, in + i);
    ptx::copy_async_commit();
  }
  ptx::copy_async_wait<kLeft>();
  for (int i = 0; i < 2; ++i) out[i] = shared[i];
  if (waits) ptx::copy_async_wait<0>();
}

TEST(Emulator, AsyncCopiesLandWhenTheyAreWaitedFor) {
  DeviceArray<uint4> in(2), out(2);
  in.data()[0].x = 1;
  in.data()[1].x = 2;
  const LaunchShape one = {.block = dim3(1), .shared_bytes = 32};
  const auto run = [&](void (*kernel)(const uint4*, uint4*, bool), bool waits) {
    launch(kernel, one, nullptr, in.data(), out.data(), waits);
    return std::vector<unsigned>{out.data()[0].x, out.data()[1].x};
  };
  EXPECT_THAT(run(copy_kernel<0>, false), testing::ElementsAre(1u, 2u));
  EXPECT_THAT(run(copy_kernel<1>, true), testing::ElementsAre(1u, ~0u));
  EXPECT_THAT(run(copy_kernel<2>, true), testing::ElementsAre(~0u, ~0u));
  EXPECT_THAT([&] { run(copy_kernel<1>, false); },
              testing::ThrowsMessage<EmulatorError>(testing::HasSubstr("1 of its copies")));
}

__global__ void odd_pitch_kernel(uint32_t* out, int pitch) {
  ptx::FragmentB b[2];
  ptx::load_rows(dynamic_shared<F16>(), pitch, b);
  out[threadIdx.x] = b[0].word[0];
}

TEST(PlantedBugs, MatrixRowsThatAreNotAligned) {
  DeviceArray<uint32_t> out(32);
  const LaunchShape warp = {.block = dim3(32), .shared_bytes = 1024};
  launch(odd_pitch_kernel, warp, nullptr, out.data(), 24);
  EXPECT_THAT([&] { launch(odd_pitch_kernel, warp, nullptr, out.data(), 20); },
              testing::ThrowsMessage<EmulatorError>(testing::HasSubstr("not aligned to 16")));
}

__global__ void eager_kernel(bool waits) {
  if (waits || threadIdx.x != 7) ptx::wait_for_previous();
}

TEST(PlantedBugs, OverlappingLaunchThatDoesNotWait) {
  const LaunchShape overlapping = {.block = dim3(32), .overlap_previous = true};
  EXPECT_THAT([&] { launch(eager_kernel, overlapping, nullptr, false); },
              testing::ThrowsMessage<EmulatorError>(testing::HasSubstr("thread (7,0,0)")));
  launch(eager_kernel, overlapping, nullptr, true);
  launch(eager_kernel, {.block = dim3(32)}, nullptr, false);  // ordered behind the one before
}

}  // namespace
}  // namespace skipbench::cuda
