#include "engine/backend.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "engine/base/error.h"
#include "tests/cpu/test_support.h"

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

}  // namespace
}  // namespace skipbench::cpu_test
