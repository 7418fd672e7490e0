// Random operands, guarded outputs, and comparison with a derived bound.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/cpu/cpu_backend.h"
#include "tests/reference/reference.h"

namespace skipbench::cpu_test {

using Random = std::mt19937;

// An activation matrix in its own memory, with guard bytes on both sides of the array and between
// the rows (stride = cols + gap). check() fails the test if a guard byte was changed.
class TestMatrix {
 public:
  TestMatrix(DType type, int64_t rows, int64_t cols, int64_t gap = 3);

  const Matrix& matrix() const { return matrix_; }
  double get(int64_t row, int64_t col) const;
  void set(int64_t row, int64_t col, double value);  // rounds to the type
  // Bytes of one row, for bit-for-bit comparison.
  std::string row_bytes(int64_t row) const;
  void check_guards(const std::string& label) const;

 private:
  std::byte* address(int64_t row, int64_t col) const;

  std::shared_ptr<std::vector<std::byte>> bytes_;
  Matrix matrix_;
};

// Values of N(0, 1) or, with `integers`, of -2 .. 2.
TestMatrix random_matrix(Random& random, DType type, int64_t rows, int64_t cols, bool integers,
                         int64_t gap = 3);

// A weight that owns its bytes, which begin at an odd multiple of two: no more alignment than a
// file promises. Values about N(0, 1), or small integers and halves that f32 adds up exactly.
struct TestWeight {
  std::shared_ptr<std::vector<std::byte>> bytes;
  Weight weight;
};
TestWeight random_weight(Random& random, DType type, int64_t rows, int64_t cols, bool integers);

Vector random_vector(Random& random, int64_t size, double mean, double deviation);

// Fails with the worst element (in % of its bound) unless all are inside.
void expect_within(const std::vector<double>& got, const std::vector<reference::Estimate>& want,
                   const std::string& label);

// Where a test body runs: the CPU's instruction sets, the emulated CUDA device, a GPU. What this
// build or machine lacks is skipped by name; SKIPBENCH_REQUIRE_GPU=1 makes that a failure for cuda.
struct TestDevice {
  const char* name;
  const char* device = "cpu";
  int64_t target = 0;  // Highway's bit, on the CPU
  int64_t lanes = 1;   // f32 per vector; 1 where the order of additions is not promised

  friend void PrintTo(const TestDevice& device, std::ostream* out) { *out << device.name; }
};
class OnEveryDevice : public testing::TestWithParam<TestDevice> {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Additions that a sum of `size` terms goes through on this device. Twice the chain, since the
  // portable fallback rounds product and sum apart; then the lanes, then an epilogue.
  int64_t steps(int64_t size) const { return 2 * (size / GetParam().lanes + 1) + 8; }
};
extern const std::vector<TestDevice> kInstructionSets;  // the CPU alone: laws about bits
extern const std::vector<TestDevice> kDevices;
std::string device_test_name(const testing::TestParamInfo<TestDevice>& info);

// Of the device that the test runs on. Takes arguments in host memory on every device.
std::unique_ptr<Backend> backend(int threads);

}  // namespace skipbench::cpu_test
