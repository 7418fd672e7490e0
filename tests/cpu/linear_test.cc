#include <cmath>

#include "fmt/format.h"
#include "tests/cpu/test_support.h"

namespace skipbench::cpu_test {
namespace {

constexpr DType kWeightTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16,
                                  DType::kQ8_0, DType::kQ4_0, DType::kQ4_1};

// One call of `linear` with everything that belongs to it.
struct LinearCase {
  std::vector<TestWeight> weights;
  Projection projection;
  NormWeights norm;
  std::unique_ptr<TestMatrix> in;
  std::unique_ptr<TestMatrix> residual;
  LinearArgs args;  // without out
  int64_t n = 0;    // columns of out

  // `parts` are numbers of rows; with gated epilogue together 2 n.
  LinearCase(Random& random, DType type, std::vector<int64_t> parts, int64_t k, int64_t rows,
             bool integers, DType activations = DType::kF32, int64_t gap = 3) {
    for (int64_t part : parts) {
      weights.push_back(random_weight(random, type, part, k, integers));
      projection.parts.push_back(weights.back().weight);
    }
    in = std::make_unique<TestMatrix>(random_matrix(random, activations, rows, k, integers, gap));
    args.projection = &projection;
    args.in = in->matrix();
    n = projection.rows();
  }
  void add_bias(Random& random) {
    projection.bias = random_vector(random, projection.rows(), 0, 1);
  }
  void add_norm(Random& random, NormKind kind) {
    norm.gain = random_vector(random, args.in.cols, 1, 0.3);
    if (kind == NormKind::kLayerNorm) norm.bias = random_vector(random, args.in.cols, 0, 0.3);
    args.norm = {kind, 1e-5, &norm};
  }
  void set_epilogue(Epilogue epilogue, Activation activation) {
    args.epilogue = epilogue;
    args.activation = activation;
    if (epilogue == Epilogue::kGated) n = projection.rows() / 2;
  }
  void add_residual(Random& random, DType type) {
    residual = std::make_unique<TestMatrix>(random_matrix(random, type, args.in.rows, n, false));
    args.residual = residual->matrix();
  }

  TestMatrix run(Backend& backend, DType out_type = DType::kF32) {
    TestMatrix out(out_type, args.in.rows, n);
    args.out = out.matrix();
    backend.linear(args);
    return out;
  }

  void expect_right(const TestMatrix& out, int64_t steps, const std::string& label) const {
    const reference::DoubleMatrix x = reference::to_double(args.in);
    reference::DoubleMatrix added;
    if (residual) added = reference::to_double(residual->matrix());
    for (int64_t r = 0; r < x.rows; ++r) {
      std::vector<double> got(n);
      for (int64_t o = 0; o < n; ++o) got[o] = out.get(r, o);
      expect_within(got,
                    reference::linear(args, x.row(r), residual ? added.row(r) : nullptr, steps),
                    fmt::format("{}, row {}", label, r));
    }
    out.check_guards(label);
  }
};

class Linear : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, Linear, testing::ValuesIn(kDevices), device_test_name);

// On CUDA bits depend on the shape of the batch too.
class LinearOnCpu : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, LinearOnCpu, testing::ValuesIn(kInstructionSets), device_test_name);

TEST_P(Linear, IntegersComeOutExactly) {
  Random random(1);
  auto cpu = backend(2);
  for (DType type : kWeightTypes) {
    for (int64_t rows : {1, 3, 31}) {
      const int64_t k = is_quantised(type) ? 96 : 33;
      LinearCase test(random, type, {31, 1, 33}, k, rows, true);
      const TestMatrix out = test.run(*cpu);
      const auto x = reference::to_double(test.args.in);
      for (int64_t r = 0; r < rows; ++r) {
        const auto want = reference::linear(test.args, x.row(r), nullptr, 0);
        for (int64_t o = 0; o < test.n; ++o) {
          ASSERT_EQ(out.get(r, o), want[o].value)
              << dtype_name(type) << " rows " << rows << " at " << r << ", " << o;
        }
      }
      out.check_guards("integers");
    }
  }
}

TEST_P(Linear, RandomShapesAreWithinTheBoundOfTheSum) {
  Random random(2);
  auto cpu = backend(2);
  for (DType type : kWeightTypes) {
    const std::vector<int64_t> sizes =
        is_quantised(type) ? std::vector<int64_t>{32, 576} : std::vector<int64_t>{1, 31, 33, 1000};
    for (int64_t k : sizes) {
      for (int64_t n : {1, 31, 33}) {
        for (int64_t rows : {1, 2, 5, 9}) {
          LinearCase test(random, type, {n}, k, rows, false);
          test.add_bias(random);
          test.expect_right(test.run(*cpu), steps(k),
                            fmt::format("{} n {} k {} rows {}", dtype_name(type), n, k, rows));
        }
      }
    }
  }
}

TEST_P(Linear, NormEpilogueAndResidualAreFused) {
  Random random(3);
  auto cpu = backend(2);
  for (Activation activation : {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf}) {
    for (Epilogue epilogue : {Epilogue::kNone, Epilogue::kActivate, Epilogue::kGated}) {
      for (NormKind kind : {NormKind::kRmsNorm, NormKind::kLayerNorm}) {
        // 300 rows are normalised in a pass of their own; on CUDA 40 are, and emulated ones take
        // long.
        const int64_t many = std::string(GetParam().device) == "cpu" ? 300 : 40;
        for (int64_t rows : {int64_t{1}, int64_t{5}, many}) {
          LinearCase test(random, DType::kF32, {33, 33}, 65, rows, false);
          test.add_bias(random);
          test.add_norm(random, kind);
          test.set_epilogue(epilogue, activation);
          test.add_residual(random, DType::kF32);
          test.expect_right(
              test.run(*cpu), steps(65),
              fmt::format("activation {} epilogue {} norm {} rows {}", static_cast<int>(activation),
                          static_cast<int>(epilogue), static_cast<int>(kind), rows));
        }
      }
    }
  }
}

// Longer than what a device keeps of its input on chip, with and without a norm over all of it.
TEST_P(Linear, LongInputs) {
  Random random(9);
  auto cpu = backend(2);
  for (DType type : {DType::kF16, DType::kQ8_0}) {
    for (int64_t rows : {1, 2, 4, 8}) {
      const int64_t k = 8192 / rows + (is_quantised(type) ? 1056 : 1001);
      LinearCase test(random, type, {3}, k, rows, false);
      const auto label = fmt::format("{} k {} rows {}", dtype_name(type), k, rows);
      test.expect_right(test.run(*cpu), steps(k), label);
      test.add_norm(random, NormKind::kLayerNorm);
      test.expect_right(test.run(*cpu), steps(k), label + " norm");
    }
  }
}

// Steps of f32 rounding that decoding quantised weights to the activations' type is worth: CUDA
// does that for products of many rows, where tensor cores need one type
// (engine/cuda/linear_prefill.cu).
int64_t decoding_steps(const TestDevice& device, DType weights, DType activations, int64_t rows) {
  if (device.device == std::string("cpu") || !is_quantised(weights) || rows <= 32) return 0;
  if (activations == DType::kF32) return 0;
  const int lost_bits = activations == DType::kF16 ? 24 - 11 : 24 - 8;
  return int64_t{1} << lost_bits;
}

// All pairs of weights and activations, with few and with many rows; one projection of two types.
TEST_P(Linear, EveryWeightTypeWithEveryActivationType) {
  Random random(10);
  auto cpu = backend(2);
  for (DType weights : kWeightTypes) {
    const int64_t k = is_quantised(weights) ? 96 : 83;
    for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (DType second : {weights, DType::kF16}) {
        for (int64_t rows : {2, 37}) {
          LinearCase test(random, weights, {5, 9}, k, rows, false, type);
          test.weights[1] = random_weight(random, second, 9, k, false);
          test.projection.parts[1] = test.weights[1].weight;
          test.add_bias(random);
          test.add_residual(random, type);
          test.expect_right(test.run(*cpu, type),
                            steps(k) + decoding_steps(GetParam(), weights, type, rows),
                            fmt::format("{} and {} x {} rows {}", dtype_name(weights),
                                        dtype_name(second), dtype_name(type), rows));
        }
      }
    }
  }
}

// Steps of f32 rounding that one rounding of the normalised input to a half type is worth.
int64_t rounding_steps(DType type) {
  return int64_t{1} << (type == DType::kF16 ? 24 - 11 : 24 - 8);
}

// Weights and activations of one half type, for which CUDA has tensor cores: row tiles not full,
// outputs beyond a tile, columns beyond a step, rows that a device can and cannot read in vectors.
TEST_P(Linear, HalfWeightsAndActivationsOfOneType) {
  Random random(11);
  auto cpu = backend(2);
  for (DType type : {DType::kF16, DType::kBF16}) {
    for (int64_t rows : {1, 7, 8, 9, 17, 32}) {
      for (int64_t k : {1, 40, 83, 1032}) {
        for (int64_t gap : {3, 8}) {
          if (k > 1000 && rows > 9) continue;  // long on the emulated device, and no other path
          LinearCase test(random, type, {31, 1, 13}, k, rows, false, type, gap);
          test.add_bias(random);
          test.add_residual(random, type);
          const auto label = fmt::format("{} rows {} k {} gap {}", dtype_name(type), rows, k, gap);
          test.expect_right(test.run(*cpu), steps(k), label);
          test.add_norm(random, k % 2 == 0 ? NormKind::kLayerNorm : NormKind::kRmsNorm);
          test.expect_right(test.run(*cpu), steps(k) + rounding_steps(type), label + " norm");
        }
      }
      LinearCase gated(random, type, {21, 21}, 72, rows, false, type, 8);
      gated.add_bias(random);
      gated.set_epilogue(Epilogue::kGated, Activation::kSilu);
      gated.expect_right(gated.run(*cpu), steps(72), fmt::format("gated, {} rows", rows));
    }
  }
}

// So many normalised rows that a device keeps them in its main memory.
TEST_P(Linear, HalfRowsThatExceedTheMemoryOfABlock) {
  Random random(12);
  auto cpu = backend(2);
  LinearCase test(random, DType::kF16, {5}, 2048, 30, false, DType::kF16, 0);
  test.add_norm(random, NormKind::kLayerNorm);
  test.expect_right(test.run(*cpu), steps(2048) + rounding_steps(DType::kF16), "30 rows of 2048");
}

TEST_P(Linear, HalfPrecisionIsRoundedOnceAtTheEnd) {
  Random random(4);
  auto cpu = backend(2);
  for (DType type : {DType::kF16, DType::kBF16}) {
    for (int64_t rows : {1, 10}) {
      LinearCase test(random, DType::kQ8_0, {31, 31}, 64, rows, false, type);
      test.add_norm(random, NormKind::kRmsNorm);
      test.set_epilogue(Epilogue::kGated, Activation::kSilu);
      test.add_residual(random, type);
      test.expect_right(test.run(*cpu, type), steps(64), std::string(dtype_name(type)));
    }
  }
}

TEST_P(Linear, AFusedGateAndUpMatrixEqualsTwoParts) {
  Random random(5);
  auto cpu = backend(2);
  LinearCase two(random, DType::kF32, {40, 40}, 50, 3, false);
  two.set_epilogue(Epilogue::kGated, Activation::kSilu);
  const TestMatrix want = two.run(*cpu);
  std::vector<std::byte> joined(two.projection.parts[0].data,
                                two.projection.parts[0].data + two.projection.parts[0].bytes());
  joined.insert(joined.end(), two.projection.parts[1].data,
                two.projection.parts[1].data + two.projection.parts[1].bytes());
  two.projection.parts = {{"fused", DType::kF32, 80, 50, joined.data()}};
  const TestMatrix got = two.run(*cpu);
  for (int64_t r = 0; r < 3; ++r) EXPECT_EQ(got.row_bytes(r), want.row_bytes(r));
}

TEST_P(Linear, ResidualMayBeTheOutput) {
  Random random(6);
  auto cpu = backend(2);
  for (int64_t rows : {1, 20}) {
    LinearCase test(random, DType::kQ4_1, {33}, 64, rows, false);
    test.add_residual(random, DType::kF32);
    const TestMatrix want = test.run(*cpu);
    test.args.out = test.args.residual;
    cpu->linear(test.args);
    for (int64_t r = 0; r < rows; ++r) {
      EXPECT_EQ(test.residual->row_bytes(r), want.row_bytes(r));
    }
  }
}

// A NaN weight or input reaches its own outputs only.
TEST_P(Linear, NaNStaysInItsRowAndOutput) {
  Random random(7);
  auto cpu = backend(2);
  for (int64_t rows : {3, 12}) {
    LinearCase test(random, DType::kF32, {13}, 35, rows, false);
    const float nan = NAN;
    std::memcpy(test.weights[0].bytes->data() + 2 + 5 * 35 * 4, &nan, sizeof(nan));
    test.in->set(1, 34, NAN);
    const TestMatrix out = test.run(*cpu);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t o = 0; o < 13; ++o) {
        EXPECT_EQ(std::isnan(out.get(r, o)), r == 1 || o == 5) << r << ", " << o;
      }
    }
  }
}

// On CUDA's tensor cores a row has the same bits alone and in any batch of up to 32.
TEST_P(Linear, HalfRowsAreTheSameInEveryBatch) {
  if (GetParam().device == std::string("cpu")) GTEST_SKIP() << "BitsDependOnTheRowAlone has it";
  Random random(13);
  auto device = backend(1);
  LinearCase test(random, DType::kF16, {45}, 328, 32, false, DType::kF16, 8);
  test.add_norm(random, NormKind::kLayerNorm);
  const TestMatrix all = test.run(*device);
  for (int64_t rows : {1, 5, 8, 16}) {
    LinearArgs some = test.args;
    TestMatrix out(DType::kF32, rows, test.n);
    some.in = test.args.in.slice_rows(11, rows);
    some.out = out.matrix();
    device->linear(some);
    for (int64_t r = 0; r < rows; ++r) EXPECT_EQ(out.row_bytes(r), all.row_bytes(11 + r)) << rows;
  }
}

// The law: a row has the same bits alone, in any batch, in a long prefill and at any number of
// threads, for every weight type and epilogue.
TEST_P(LinearOnCpu, BitsDependOnTheRowAlone) {
  Random random(8);
  for (DType type : kWeightTypes) {
    const int64_t k = is_quantised(type) ? 160 : 167;
    LinearCase test(random, type, {37, 21}, k, 64, false);
    test.add_bias(random);
    for (bool fused : {false, true}) {
      if (fused) {
        test.add_norm(random, NormKind::kRmsNorm);
        test.projection.parts[1] = test.projection.parts[0];
        test.projection.bias.resize(2 * 37, 0.5f);
        test.set_epilogue(Epilogue::kGated, Activation::kSilu);
        test.add_residual(random, DType::kF32);
      }
      auto alone = backend(1);
      std::vector<std::string> want;
      for (int64_t r = 0; r < 64; ++r) {
        LinearArgs one = test.args;
        TestMatrix out(DType::kF32, 1, test.n);
        one.in = test.args.in.slice_rows(r, 1);
        if (fused) one.residual = test.args.residual.slice_rows(r, 1);
        one.out = out.matrix();
        alone->linear(one);
        want.push_back(out.row_bytes(0));
      }
      for (int threads : {1, 2, 3}) {
        auto cpu = backend(threads);
        for (int64_t rows : {1, 2, 3, 5, 8, 17, 64}) {
          for (int64_t first : {int64_t{0}, 64 - rows}) {
            LinearArgs some = test.args;
            TestMatrix out(DType::kF32, rows, test.n);
            some.in = test.args.in.slice_rows(first, rows);
            if (fused) some.residual = test.args.residual.slice_rows(first, rows);
            some.out = out.matrix();
            cpu->linear(some);
            for (int64_t r = 0; r < rows; ++r) {
              ASSERT_EQ(out.row_bytes(r), want[first + r])
                  << dtype_name(type) << " rows " << rows << " threads " << threads << " row "
                  << first + r;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace skipbench::cpu_test
