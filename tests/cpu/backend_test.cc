#include "engine/backend.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "engine/base/error.h"
#include "tests/cpu/test_support.h"
#include "tests/devices.h"

namespace skipbench::cpu_test {
namespace {

TEST(CpuBackend, SaysWhatItIs) {
  auto cpu = backend(2);
  EXPECT_EQ(cpu->name(), "cpu");
  EXPECT_EQ(cpu->threads(), 2);
  EXPECT_FALSE(cpu->device_name().empty());
  EXPECT_EQ(cpu->activation_type(), DType::kF32);
  EXPECT_GE(backend(0)->threads(), 1);
}

TEST(CpuBackend, RefusesWrongSpecs) {
  DeviceSpec quantised;
  quantised.dtype = DType::kQ8_0;
  EXPECT_THROW(make_cpu_backend(quantised), Error);
  for (int threads : {-1, 100000}) {
    DeviceSpec spec;
    spec.threads = threads;
    EXPECT_THROW(make_cpu_backend(spec), Error);
  }
}

TEST(CpuBackend, MemoryIsAlignedAndCopied) {
  auto cpu = backend(1);
  const std::string text = "seventeen bytes..";
  const DeviceBuffer buffer = cpu->allocate(text.size());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.get()) % 64, 0u);
  cpu->upload(buffer.get(), text.data(), text.size());
  std::string back(text.size(), ' ');
  cpu->download(back.data(), buffer.get(), back.size());
  EXPECT_EQ(back, text);
  cpu->fill_zero(buffer.get(), 5);
  cpu->download(back.data(), buffer.get(), back.size());
  EXPECT_EQ(back, std::string(5, '\0') + text.substr(5));
  EXPECT_NE(cpu->allocate(0), nullptr);
}

TEST(CpuBackend, TooMuchMemoryIsAnError) {
  EXPECT_THROW(backend(1)->allocate(SIZE_MAX / 2 + 1), Error);
}

TEST(CpuBackend, PeaksAreMeasuredOnceAndPlausible) {
  auto cpu = backend(1);
  const double read = cpu->peak_read_bytes_per_second();
  EXPECT_GT(read, 1e8);
  EXPECT_LT(read, 1e13);
  EXPECT_EQ(cpu->peak_read_bytes_per_second(), read);
  const double flops = cpu->peak_flops_per_second();
  EXPECT_GT(flops, 1e7);
  EXPECT_LT(flops, 1e15);
}

TEST(CpuBackend, HasNoMemoryOfItsOwnAndNoCard) {
  EXPECT_EQ(backend(1)->peak_memory_bytes(), std::nullopt);
  EXPECT_EQ(backend(1)->pci_bus_id(), "");
}

class CudaMemory : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { skip_without(GetParam()); }
};

TEST_P(CudaMemory, ThePeakIsOfWhatWasHeldAtOnceSinceTheReset) {
  auto device = make_backend({.device = GetParam()});
  const int64_t idle = device->peak_memory_bytes().value();
  DeviceBuffer large = device->allocate(1000);
  DeviceBuffer small = device->allocate(24);
  EXPECT_EQ(device->peak_memory_bytes(), idle + 1024);
  large.reset();
  EXPECT_EQ(device->peak_memory_bytes(), idle + 1024);
  device->reset_peak_memory();
  EXPECT_EQ(device->peak_memory_bytes(), idle + 24);
  const DeviceBuffer next = device->allocate(100);
  small.reset();
  EXPECT_EQ(device->peak_memory_bytes(), idle + 124);
  // The host's pages that a device writes are not its memory.
  const DeviceBuffer shared = device->allocate_shared(4096);
  EXPECT_EQ(device->peak_memory_bytes(), idle + 124);
  DeviceBuffer outlives = device->allocate(8);
  device.reset();
  outlives.reset();
}

// Buffers far larger than the caches are not held on, where they would count for every model.
TEST_P(CudaMemory, MeasuringPeaksLeavesNoMemoryBehind) {
  if (GetParam() == "emulated") GTEST_SKIP() << "takes long there; EmulatedTelemetry shows it too";
  const auto device = make_backend({.device = GetParam()});
  EXPECT_GT(device->peak_read_bytes_per_second(), 0);
  EXPECT_GT(device->peak_flops_per_second(), 0);
  EXPECT_GT(device->peak_memory_bytes().value(), 1 << 20);
  device->reset_peak_memory();
  EXPECT_LT(device->peak_memory_bytes().value(), 1 << 10);
}

TEST_P(CudaMemory, ACardSaysWhereItSits) {
  const std::string id = make_backend({.device = GetParam()})->pci_bus_id();
  EXPECT_GE(id.size(), 12u) << id;
  EXPECT_EQ(id.find_first_not_of("0123456789abcdefABCDEF:."), std::string::npos) << id;
}

INSTANTIATE_TEST_SUITE_P(, CudaMemory, testing::Values("emulated", "cuda"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace skipbench::cpu_test
