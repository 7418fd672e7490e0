#include <algorithm>
#include <cmath>

#include "fmt/format.h"
#include "tests/cpu/attention_case.h"

namespace skipbench::cpu_test {
namespace {

class AppendKv : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, AppendKv, testing::ValuesIn(kDevices), device_test_name);

// A head after norm and rotation, with the error that f32 may make.
std::vector<reference::Estimate> want_head(const ModelConfig& config, const NormWeights& norm,
                                           const double* head, int64_t position, int64_t steps) {
  const int64_t dim = config.head_dim;
  std::vector<reference::Estimate> out(dim);
  for (int64_t i = 0; i < dim; ++i) out[i] = {head[i], 0};
  if (config.qk_norm) {
    out = reference::norm(NormKind::kRmsNorm, config.norm_epsilon, norm, head, dim, steps);
  }
  std::vector<double> value(dim);
  double largest_error = 0;
  double largest = 0;
  for (int64_t i = 0; i < dim; ++i) {
    value[i] = out[i].value;
    largest_error = std::max(largest_error, out[i].error);
    largest = std::max(largest, std::fabs(value[i]));
  }
  if (config.position != PositionKind::kRope) return out;
  reference::rotate(config.rope, dim, position, value.data());
  for (int64_t i = 0; i < dim; ++i) {
    out[i] = {value[i],
              config.rope.attention_factor * (2 * largest_error + 6 * reference::kUnit * largest)};
  }
  return out;
}

struct Case {
  Shape shape;
  int64_t pairs = 0;
  bool interleaved = false;
  bool qk_norm = false;
  DType type = DType::kF32;
  double attention_factor = 1;
};

void check(Random& random, const Case& test, int64_t steps) {
  ModelConfig config = make_config(test.shape, test.pairs);
  config.rope.interleaved = test.interleaved;
  config.rope.attention_factor = test.attention_factor;
  config.qk_norm = test.qk_norm;
  LayerWeights layer;
  if (test.qk_norm) {
    layer.query_norm.gain = random_vector(random, config.head_dim, 1, 0.3);
    layer.key_norm.gain = random_vector(random, config.head_dim, 1, 0.3);
  }
  const TestRows rows{{1, 0, 1, 2, 1, 1, 1, 0, 1}, {3, 0, 4, 99, 5, 6, 7, 1, 8}};
  const RowTable table = rows.table();
  const TestMatrix qkv = random_matrix(random, test.type, table.rows, config.qkv_rows(), false);
  const auto before = reference::to_double(qkv.matrix());
  TestCache cache(random, config, test.type, 3, 100, true);
  backend(2)->append_kv({&config, &layer, table, qkv.matrix(), cache.view, false});

  const int64_t dim = config.head_dim;
  const auto label = fmt::format("dim {} pairs {} interleaved {} norm {} {}", dim, test.pairs,
                                 test.interleaved, test.qk_norm, dtype_name(test.type));
  for (int64_t r = 0; r < table.rows; ++r) {
    const auto compare = [&](const TestMatrix& where, int64_t row, int64_t column,
                             std::vector<reference::Estimate> want) {
      std::vector<double> got(dim);
      for (int64_t i = 0; i < dim; ++i) {
        got[i] = where.get(row, column + i);
        if (want[i].error > 0) want[i].error += reference::rounding_error(test.type, want[i].value);
      }
      expect_within(got, want, label);
    };
    const int64_t position = rows.position[r];
    for (int h = 0; h < config.num_heads; ++h) {
      const int64_t column = cpu::query_column(config, h);
      compare(qkv, r, column,
              want_head(config, layer.query_norm, before.row(r) + column, position, steps));
    }
    for (int h = 0; h < config.num_kv_heads; ++h) {
      const int64_t slot = cpu::cache_offset(config, cache.view, rows.sequence[r], h, position);
      compare(cache.keys, 0, slot,
              want_head(config, layer.key_norm, before.row(r) + cpu::key_column(config, h),
                        position, steps));
      std::vector<reference::Estimate> value(dim);
      for (int64_t i = 0; i < dim; ++i) {
        value[i] = {before.at(r, cpu::value_column(config, h) + i), 0};
      }
      compare(cache.values, 0, slot, value);
    }
    EXPECT_EQ(cache.present[rows.sequence[r] * 100 + position], 1);
  }
  EXPECT_EQ(std::count(cache.present.begin(), cache.present.end(), 1), table.rows);
  qkv.check_guards(label);
  cache.keys.check_guards(label);
  cache.values.check_guards(label);
}

TEST_P(AppendKv, RotatesNormalisesAndStores) {
  Random random(1);
  const Shape even{4, 2, 64};
  const Shape odd{3, 1, 33};
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (bool interleaved : {false, true}) {
      for (bool qk_norm : {false, true}) {
        check(random, {even, 32, interleaved, qk_norm, type}, steps(64));
        check(random, {even, 10, interleaved, qk_norm, type, 1.3}, steps(64));  // part of the head
        check(random, {odd, 16, interleaved, qk_norm, type}, steps(33));        // one left over
      }
    }
  }
}

TEST_P(AppendKv, AlibiHeadsAreStoredAsTheyAre) {
  Random random(2);
  check(random, {{5, 5, 31, PositionKind::kAlibi, QkvLayout::kPerHead}}, steps(31));
}

TEST_P(AppendKv, KeysAndValuesOnlyLeavesTheQueryAlone) {
  Random random(3);
  const ModelConfig config = make_config({4, 2, 16}, 8);
  const LayerWeights layer;
  const TestRows rows{{0}, {5}};
  TestMatrix qkv = random_matrix(random, DType::kF32, 1, config.qkv_rows(), false);
  for (int64_t i = 0; i < 4 * 16; ++i) qkv.set(0, i, NAN);  // not to be read
  const std::string before = qkv.row_bytes(0);
  TestCache cache(random, config, DType::kF32, 1, 10, false);
  backend(1)->append_kv({&config, &layer, rows.table(), qkv.matrix(), cache.view, true});
  EXPECT_EQ(qkv.row_bytes(0), before);
  std::vector<double> key(16);
  for (int64_t i = 0; i < 16; ++i) key[i] = qkv.get(0, 4 * 16 + i);
  reference::rotate(config.rope, 16, 5, key.data());
  for (int64_t i = 0; i < 16; ++i) {
    EXPECT_NEAR(cache.keys.get(0, cpu::cache_offset(config, cache.view, 0, 0, 5) + i), key[i],
                1e-6);
  }
}

// The angles are kept between calls: other positions, another model and more rows must not see
// stale ones.
TEST_P(AppendKv, KeptAnglesFollowPositionsAndModel) {
  Random random(4);
  auto cpu = backend(1);
  const LayerWeights layer;
  for (int64_t pairs : {8, 4, 8}) {
    const ModelConfig config = make_config({1, 1, 16}, pairs);
    for (const auto& positions : std::vector<std::vector<int32_t>>{{7}, {7, 3}, {3, 7, 9}, {2}}) {
      const TestRows rows{std::vector<int32_t>(positions.size(), 0), positions};
      const TestMatrix qkv =
          random_matrix(random, DType::kF32, rows.table().rows, config.qkv_rows(), false);
      const auto before = reference::to_double(qkv.matrix());
      TestCache cache(random, config, DType::kF32, 1, 10, false);
      cpu->append_kv({&config, &layer, rows.table(), qkv.matrix(), cache.view, false});
      for (int64_t r = 0; r < rows.table().rows; ++r) {
        std::vector<double> query(before.row(r), before.row(r) + 16);
        reference::rotate(config.rope, 16, positions[r], query.data());
        for (int64_t i = 0; i < 16; ++i) ASSERT_NEAR(qkv.get(r, i), query[i], 1e-6);
      }
    }
  }
}

}  // namespace
}  // namespace skipbench::cpu_test
