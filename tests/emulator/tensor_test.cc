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
