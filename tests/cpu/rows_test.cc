// embed, norm and gather_rows: the operations that work row by row.
#include <fmt/format.h>

#include "engine/base/error.h"
#include "tests/cpu/test_support.h"

namespace skipbench::cpu_test {
namespace {

class Rows : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, Rows, testing::ValuesIn(kDevices), device_test_name);

// On CUDA bits depend on the shape of the batch too.
class RowsOnCpu : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, RowsOnCpu, testing::ValuesIn(kInstructionSets), device_test_name);

TEST(CpuMemory, WhatIsNotThereIsItsOwnError) {
  const size_t too_much = SIZE_MAX / 2 + 1;
  try {
    backend(1)->allocate(too_much);
    ADD_FAILURE() << "allocated";
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(static_cast<size_t>(error.asked_bytes()), too_much);
  }
}

TEST_P(Rows, EmbedDecodesEveryWeightTypeExactly) {
  Random random(1);
  auto cpu = backend(2);
  for (DType type :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1}) {
    const int64_t cols = is_quantised(type) ? 96 : 33;
    const TestWeight table = random_weight(random, type, 50, cols, false);
    for (int64_t rows : {1, 2, 40}) {
      std::vector<int32_t> token(rows);
      for (int32_t& t : token) t = std::uniform_int_distribution<int>(0, 49)(random);
      token.back() = 49;
      TestMatrix out(DType::kF32, rows, cols);
      cpu->embed({{rows, token.data(), nullptr, nullptr}, &table.weight, out.matrix()});
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          ASSERT_EQ(out.get(r, c), reference::weight_element(table.weight, token[r], c))
              << dtype_name(type) << " at " << r << ", " << c;
        }
      }
      out.check_guards("embed");
    }
  }
}

TEST_P(Rows, EmbedRoundsToTheActivationType) {
  Random random(2);
  auto cpu = backend(1);
  const TestWeight table = random_weight(random, DType::kF32, 4, 33, false);
  const int32_t token[] = {3, 0};
  for (DType type : {DType::kF16, DType::kBF16}) {
    TestMatrix out(type, 2, 33);
    cpu->embed({{2, token, nullptr, nullptr}, &table.weight, out.matrix()});
    TestMatrix want(type, 2, 33);
    for (int64_t r = 0; r < 2; ++r) {
      for (int64_t c = 0; c < 33; ++c) {
        want.set(r, c, reference::weight_element(table.weight, token[r], c));
      }
      EXPECT_EQ(out.row_bytes(r), want.row_bytes(r)) << dtype_name(type);
    }
  }
}

TEST_P(Rows, NormIsWithinItsBound) {
  Random random(3);
  auto cpu = backend(2);
  for (NormKind kind : {NormKind::kRmsNorm, NormKind::kLayerNorm}) {
    for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (int64_t cols : {1, 31, 33, 1000}) {
        NormWeights weights{random_vector(random, cols, 1, 0.5), {}};
        if (kind == NormKind::kLayerNorm) weights.bias = random_vector(random, cols, 0, 1);
        for (int64_t rows : {1, 9}) {
          const TestMatrix in = random_matrix(random, type, rows, cols, false);
          TestMatrix out(type, rows, cols);
          cpu->norm({kind, 1e-5, &weights, in.matrix(), out.matrix()});
          const auto x = reference::to_double(in.matrix());
          const auto label =
              fmt::format("norm {} {} cols {}", static_cast<int>(kind), dtype_name(type), cols);
          for (int64_t r = 0; r < rows; ++r) {
            auto want = reference::norm(kind, 1e-5, weights, x.row(r), cols, steps(cols));
            std::vector<double> got(cols);
            for (int64_t c = 0; c < cols; ++c) {
              got[c] = out.get(r, c);
              want[c].error += reference::rounding_error(type, want[c].value);
            }
            expect_within(got, want, label);
          }
          out.check_guards(label);
        }
      }
    }
  }
}

TEST_P(RowsOnCpu, NormHasTheSameBitsInPlaceInABatchAndFusedIntoLinear) {
  Random random(4);
  const int64_t cols = 67;
  NormWeights weights{random_vector(random, cols, 1, 0.5), random_vector(random, cols, 0, 1)};
  const TestMatrix in = random_matrix(random, DType::kF32, 17, cols, false);
  Projection identity;
  const TestWeight matrix = random_weight(random, DType::kF32, cols, cols, true);
  std::byte* unit = matrix.bytes->data() + 2;
  for (int64_t i = 0; i < cols * cols; ++i) {
    const float one = i % (cols + 1) == 0 ? 1.0f : 0.0f;
    std::memcpy(unit + i * sizeof(one), &one, sizeof(one));
  }
  identity.parts = {matrix.weight};
  for (NormKind kind : {NormKind::kRmsNorm, NormKind::kLayerNorm}) {
    TestMatrix all(DType::kF32, 17, cols);
    backend(3)->norm({kind, 1e-6, &weights, in.matrix(), all.matrix()});
    auto cpu = backend(1);
    for (int64_t r = 0; r < 17; ++r) {
      TestMatrix row(DType::kF32, 1, cols);
      for (int64_t c = 0; c < cols; ++c) row.set(0, c, in.get(r, c));
      TestMatrix fused(DType::kF32, 1, cols);
      LinearArgs args;
      args.norm = {kind, 1e-6, &weights};
      args.projection = &identity;
      args.in = row.matrix();
      args.out = fused.matrix();
      cpu->linear(args);
      cpu->norm({kind, 1e-6, &weights, row.matrix(), row.matrix()});
      EXPECT_EQ(row.row_bytes(0), all.row_bytes(r));
      EXPECT_EQ(fused.row_bytes(0), all.row_bytes(r));
    }
  }
}

TEST_P(Rows, GatherCopiesRows) {
  Random random(5);
  auto cpu = backend(2);
  for (DType type : {DType::kF32, DType::kBF16}) {
    const TestMatrix in = random_matrix(random, type, 9, 33, false);
    std::vector<int32_t> index(200);
    for (int32_t& i : index) i = std::uniform_int_distribution<int>(0, 8)(random);
    TestMatrix out(type, 200, 33, 1);
    cpu->gather_rows({in.matrix(), index.data(), out.matrix()});
    for (int64_t r = 0; r < 200; ++r) EXPECT_EQ(out.row_bytes(r), in.row_bytes(index[r]));
    out.check_guards("gather");
  }
}

}  // namespace
}  // namespace skipbench::cpu_test
