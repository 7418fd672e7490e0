// cosine and scale: what strategies ask of hidden states.
#include <fmt/format.h>

#include <cmath>

#include "tests/cpu/test_support.h"

namespace skipbench::cpu_test {
namespace {

class States : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, States, testing::ValuesIn(kDevices), device_test_name);

double reference_cosine(const reference::DoubleMatrix& a, const reference::DoubleMatrix& b,
                        int64_t row) {
  long double dot = 0, aa = 0, bb = 0;
  for (int64_t c = 0; c < a.cols; ++c) {
    dot += static_cast<long double>(a.at(row, c)) * b.at(row, c);
    aa += static_cast<long double>(a.at(row, c)) * a.at(row, c);
    bb += static_cast<long double>(b.at(row, c)) * b.at(row, c);
  }
  return static_cast<double>(dot / std::sqrt(aa * bb));
}

TEST_P(States, CosineIsTheReferences) {
  Random random(21);
  auto device = backend(2);
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int64_t cols : {1, 31, 33, 1000}) {
      for (int64_t rows : {1, 9}) {
        const TestMatrix a = random_matrix(random, type, rows, cols, false);
        const TestMatrix b = random_matrix(random, type, rows, cols, false);
        std::vector<double> out(static_cast<size_t>(rows), 7.0);
        device->cosine({a.matrix(), b.matrix(), out.data()});
        const auto x = reference::to_double(a.matrix());
        const auto y = reference::to_double(b.matrix());
        for (int64_t r = 0; r < rows; ++r) {
          // Products of f32 are exact in f64. Each sum errs by at most (cols - 1) 2^-53 of the sum
          // of magnitudes, the dot's at most the product of the norms; a few roundings follow.
          const double bound = static_cast<double>(3 * cols + 8) * 0x1p-53;
          EXPECT_NEAR(out[r], reference_cosine(x, y, r), bound)
              << dtype_name(type) << ", row " << r << ", cols " << cols;
        }
      }
    }
  }
}

TEST_P(States, CosineOfParallelOppositeOrthogonalAndNoVectors) {
  auto device = backend(1);
  TestMatrix a(DType::kF32, 4, 34), b(DType::kF32, 4, 34);
  for (int64_t c = 0; c < 34; ++c) {
    a.set(0, c, 0.1 + static_cast<double>(c));
    b.set(0, c, 0.1 + static_cast<double>(c));
    a.set(1, c, 3);
    b.set(1, c, -0.5);
    a.set(2, c, c % 2 == 0 ? 2 : 0);
    b.set(2, c, c % 2 == 0 ? 0 : 5);
    a.set(3, c, 0);
    b.set(3, c, 1);
  }
  std::vector<double> out(4, 7.0);
  device->cosine({a.matrix(), b.matrix(), out.data()});
  EXPECT_LE(out[0], 1.0);
  EXPECT_NEAR(out[0], 1.0, 1e-15);
  EXPECT_NEAR(out[1], -1.0, 1e-15);
  EXPECT_EQ(out[2], 0.0);
  EXPECT_EQ(out[3], 0.0);
}

TEST_P(States, ScaleRoundsTheProductToTheType) {
  Random random(22);
  auto device = backend(2);
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int64_t cols : {1, 33, 1000}) {
      for (int64_t rows : {1, 19}) {
        const TestMatrix in = random_matrix(random, type, rows, cols, false);
        TestMatrix got(type, rows, cols);
        TestMatrix want(type, rows, cols);
        const float factor = 1.37f;
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t c = 0; c < cols; ++c) {
            got.set(r, c, in.get(r, c));
            want.set(r, c, static_cast<float>(in.get(r, c)) * factor);
          }
        }
        device->scale({got.matrix(), factor});
        for (int64_t r = 0; r < rows; ++r) EXPECT_EQ(got.row_bytes(r), want.row_bytes(r));
        got.check_guards("scale");
      }
    }
  }
}

TEST_P(States, CopyWithoutAFlagTakesEveryRow) {
  Random random(23);
  auto device = backend(1);
  const TestMatrix in = random_matrix(random, DType::kF32, 5, 33, false);
  TestMatrix out(DType::kF32, 5, 33);
  device->copy_rows_if({in.matrix(), out.matrix(), nullptr, 1});
  for (int64_t r = 0; r < 5; ++r) EXPECT_EQ(out.row_bytes(r), in.row_bytes(r));
  out.check_guards("copy");
}

}  // namespace
}  // namespace skipbench::cpu_test
