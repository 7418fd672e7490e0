#include <algorithm>
#include <cmath>

#include "engine/cpu/operations.h"
#include "fmt/format.h"
#include "tests/cpu/attention_case.h"

namespace skipbench::cpu_test {
namespace {

class Attend : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, Attend, testing::ValuesIn(kDevices), device_test_name);

// On CUDA bits depend on the shape of the batch too.
class AttendOnCpu : public OnEveryDevice {};
INSTANTIATE_TEST_SUITE_P(, AttendOnCpu, testing::ValuesIn(kInstructionSets), device_test_name);

constexpr int64_t kCapacity = 80;

// Single rows of three sequences; prompts of 41, 1 and 50 tokens, the last one continued at
// position 23, whose borders fall inside of the tiles of 8, 16 or 64 rows that a device may work
// on; the same with prompts of 150, 1 and 70 tokens at 0, 0 and 100, which see three tiles of 64
// positions; 78 rows whose sequences take turns, with gaps between their positions; single rows
// that see up to three of the chunks that a device splits a long context into.
enum class Pattern { kSingleRows, kPrompts, kLongPrompts, kTurns, kLongRows };

struct Case {
  Shape shape;
  DType type = DType::kF32;
  int window = 0;
  bool with_present = false;
  Pattern pattern = Pattern::kSingleRows;
  int64_t gap = 3;  // between rows: odd, or as aligned as models have them
  bool with_source = false;

  int64_t capacity() const {
    if (pattern == Pattern::kLongRows) return 600;
    return pattern == Pattern::kLongPrompts ? 176 : kCapacity;
  }
};

TestRows make_rows(Pattern pattern) {
  if (pattern == Pattern::kSingleRows) return {{0, 2, 1, 0, 2, 2}, {0, 17, 63, 64, 18, 79}};
  if (pattern == Pattern::kLongRows) return {{1, 0, 2, 0}, {599, 255, 256, 40}};
  TestRows rows;
  if (pattern == Pattern::kTurns) {
    for (int32_t r = 0; r < 78; ++r) {
      rows.sequence.push_back(r % 3);
      rows.position.push_back(r);
    }
    return rows;
  }
  const bool is_long = pattern == Pattern::kLongPrompts;
  const int32_t first[] = {0, 0, is_long ? 100 : 23};
  const int32_t count[] = {is_long ? 150 : 41, 1, is_long ? 70 : 50};
  for (const int32_t sequence : {0, 1, 2}) {
    for (int32_t i = 0; i < count[sequence]; ++i) {
      rows.sequence.push_back(sequence);
      rows.position.push_back(first[sequence] + i);
    }
  }
  return rows;
}

// Whose memory position p of row r's sequence is read from.
int64_t source_of(const AttendArgs& args, int64_t r, int64_t p) {
  const int64_t sequence = args.rows.sequence[r];
  const int32_t* source = args.cache.source;
  return source == nullptr ? sequence : source[sequence * args.cache.capacity + p];
}

// What head `head` of row r sees, in double.
reference::AttentionInput want_input(const AttendArgs& args, const TestCache& cache, int64_t r,
                                     int head, const double* query) {
  const ModelConfig& config = *args.config;
  const int kv_head = head / (config.num_heads / config.num_kv_heads);
  reference::AttentionInput input;
  input.query = query;
  input.own_position = args.rows.position[r];
  input.scale = config.attention_scale;
  if (config.position == PositionKind::kAlibi) {
    input.slope = reference::alibi_slopes(config.num_heads)[head];
  }
  for (int64_t p = 0; p <= input.own_position; ++p) {
    if (args.window > 0 && p <= input.own_position - args.window) continue;
    const int64_t slot = source_of(args, r, p) * cache.view.capacity + p;
    if (cache.view.present != nullptr && cache.present[slot] == 0) continue;
    input.positions.push_back(p);
  }
  const auto count = static_cast<int64_t>(input.positions.size());
  input.keys = input.values = reference::DoubleMatrix(count, config.head_dim);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t p = input.positions[i];
    const int64_t slot = cpu::cache_offset(config, cache.view, source_of(args, r, p), kv_head, p);
    for (int64_t d = 0; d < config.head_dim; ++d) {
      input.keys.at(i, d) = cache.keys.get(0, slot + d);
      input.values.at(i, d) = cache.values.get(0, slot + d);
    }
  }
  return input;
}

// A table of any sequence for each position that a row sees; beyond those a number that would be
// read far outside of the cache.
std::vector<int32_t> random_source(Random& random, const TestRows& rows, int64_t capacity) {
  std::vector<int32_t> source(3 * capacity, 1 << 20);
  for (size_t r = 0; r < rows.position.size(); ++r) {
    for (int32_t p = 0; p <= rows.position[r]; ++p) {
      int32_t& from = source[rows.sequence[r] * capacity + p];
      if (from >= 3) from = static_cast<int32_t>(random() % 3);
    }
  }
  return source;
}

void check(Random& random, const Case& test, int64_t dim_steps, DType weight_type = DType::kF32) {
  const ModelConfig config = make_config(test.shape);
  const TestRows rows = make_rows(test.pattern);
  const int64_t capacity = test.capacity();
  TestCache cache(random, config, test.type, 3, capacity, test.with_present);
  for (uint8_t& present : cache.present) present = random() % 3 == 0;
  const std::vector<int32_t> source = random_source(random, rows, capacity);
  if (test.with_source) cache.view.source = source.data();
  const TestMatrix qkv =
      random_matrix(random, test.type, rows.table().rows, config.qkv_rows(), false, test.gap);
  TestMatrix out(test.type, rows.table().rows, config.num_heads * config.head_dim, test.gap);
  const AttendArgs args{&config, rows.table(), qkv.matrix(), cache.view, test.window, out.matrix()};
  for (int64_t r = 0; r < args.rows.rows && test.with_present; ++r) {
    const int64_t p = rows.position[r];
    cache.present[source_of(args, r, p) * capacity + p] = 1;
  }
  // What is absent or seen by no row must not even be read: it may be NaN.
  std::vector<bool> is_seen(3 * capacity);
  for (int64_t r = 0; r < args.rows.rows; ++r) {
    for (int64_t p = 0; p <= rows.position[r]; ++p) {
      is_seen[source_of(args, r, p) * capacity + p] = true;
    }
  }
  for (int64_t slot = 0; slot < 3 * capacity; ++slot) {
    if (is_seen[slot] && (cache.present.empty() || cache.present[slot] != 0)) continue;
    for (int h = 0; h < config.num_kv_heads; ++h) {
      const int64_t at = cpu::cache_offset(config, cache.view, slot / capacity, h, slot % capacity);
      for (int d = 0; d < config.head_dim; ++d) {
        cache.keys.set(0, at + d, NAN);
        cache.values.set(0, at + d, NAN);
      }
    }
  }
  backend(2)->attend(args);

  const auto label =
      fmt::format("heads {}/{} dim {} {} window {} present {} source {} rows {}", config.num_heads,
                  config.num_kv_heads, config.head_dim, dtype_name(test.type), test.window,
                  test.with_present, test.with_source, rows.table().rows);
  const auto before = reference::to_double(qkv.matrix());
  for (int64_t r = 0; r < rows.table().rows; ++r) {
    for (int h = 0; h < config.num_heads; ++h) {
      auto input = want_input(args, cache, r, h, before.row(r) + cpu::query_column(config, h));
      input.weight_type = weight_type;
      auto want = reference::attend(input, std::max(dim_steps, int64_t{2} * capacity));
      std::vector<double> got(config.head_dim);
      for (int d = 0; d < config.head_dim; ++d) {
        got[d] = out.get(r, h * config.head_dim + d);
        want[d].error += reference::rounding_error(test.type, want[d].value);
      }
      expect_within(got, want, fmt::format("{}, row {} head {}", label, r, h));
    }
  }
  out.check_guards(label);
}

TEST_P(Attend, HeadShapesAndTypes) {
  Random random(1);
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int dim : {1, 31, 33, 64, 256}) {
      check(random, {{4, 4, dim}, type}, steps(dim));
      check(random, {{6, 2, dim}, type}, steps(dim));
      check(random, {{7, 1, dim}, type}, steps(dim));
    }
  }
}

TEST_P(Attend, WindowAndAbsentPositions) {
  Random random(2);
  for (int window : {0, 1, 16, 33}) {
    for (bool with_present : {false, true}) {
      check(random, {{6, 2, 40}, DType::kF32, window, with_present}, steps(40));
      check(random, {{2, 1, 24}, DType::kF32, window, with_present, Pattern::kLongRows}, steps(24));
    }
  }
}

TEST_P(Attend, AlibiForAnyNumberOfHeads) {
  Random random(3);
  for (int heads : {1, 4, 7, 12}) {
    const Shape shape{heads, heads, 24, PositionKind::kAlibi, QkvLayout::kPerHead};
    check(random, {shape}, steps(24));
    check(random, {shape, DType::kF32, 0, true}, steps(24));
  }
}

TEST_P(Attend, Prompts) {
  Random random(5);
  for (int dim : {1, 33, 128})
    check(random, {{6, 2, dim}, DType::kF32, 0, false, Pattern::kPrompts}, steps(dim));
  for (DType type : {DType::kF16, DType::kBF16}) {
    check(random, {{2, 1, 200}, type, 0, false, Pattern::kPrompts}, steps(200));
    check(random, {{2, 1, 64}, type, 0, false, Pattern::kPrompts, 3}, steps(64));
  }
  for (int window : {1, 16, 33}) {
    check(random, {{2, 1, 40}, DType::kF32, window, false, Pattern::kPrompts}, steps(40));
  }
  for (bool with_present : {false, true}) {
    const Shape shape{3, 3, 24, PositionKind::kAlibi, QkvLayout::kPerHead};
    check(random, {shape, DType::kF32, 0, with_present, Pattern::kPrompts}, steps(24));
    check(random, {{2, 1, 130}, DType::kF16, 20, with_present, Pattern::kPrompts}, steps(130));
  }
}

// Heads of up to 128 dimensions in rows of even length, where devices may use tensor cores: their
// weights are rounded to the cache's type.
TEST_P(Attend, PromptsInHalfPrecision) {
  Random random(6);
  const bool is_cpu = std::string_view(GetParam().device) == "cpu";
  for (DType type : {DType::kF16, DType::kBF16}) {
    const DType weight_type = is_cpu ? DType::kF32 : type;
    const auto run = [&](const Shape& shape, int window, bool with_present, Pattern pattern) {
      check(random, {shape, type, window, with_present, pattern, 4}, steps(shape.head_dim),
            weight_type);
    };
    for (int dim : {8, 40, 64, 72, 128}) run({4, 2, dim}, 0, false, Pattern::kPrompts);
    run({2, 1, 64}, 0, false, Pattern::kLongPrompts);
    run({1, 1, 128}, 0, false, Pattern::kLongPrompts);
    for (bool with_present : {false, true}) run({2, 1, 64}, 0, with_present, Pattern::kTurns);
    for (int window : {1, 33, 64, 70}) run({1, 1, 32}, window, false, Pattern::kLongPrompts);
    const Shape alibi{3, 3, 24, PositionKind::kAlibi, QkvLayout::kPerHead};
    for (bool with_present : {false, true}) {
      run(alibi, 0, with_present, Pattern::kPrompts);
      run(alibi, 20, with_present, Pattern::kLongPrompts);
    }
  }
}

// Beams: keys and values at each position in the memory of whichever sequence the table names.
TEST_P(Attend, SharedPositions) {
  Random random(9);
  const auto run = [&](Case test) {
    test.with_source = true;
    check(random, test, steps(test.shape.head_dim));
  };
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int dim : {1, 31, 40, 64, 256}) {
      run({{4, 4, dim}, type});
      run({{4, 2, dim}, type});
      run({{7, 1, dim}, type});
    }
    run({{2, 1, 24}, type, 0, false, Pattern::kLongRows});
    run({{2, 1, 33}, type, 0, true, Pattern::kLongRows});
    for (bool with_present : {false, true}) {
      run({{6, 2, 40}, type, 0, with_present});
      run({{6, 2, 40}, type, 16, with_present});
      run({{2, 1, 64}, type, 0, with_present, Pattern::kTurns, 4});  // too many rows for some ways
      run({{2, 1, 33}, type, 20, with_present, Pattern::kPrompts});
    }
  }
  const Shape alibi{3, 3, 24, PositionKind::kAlibi, QkvLayout::kPerHead};
  for (bool with_present : {false, true}) {
    run({alibi, DType::kF32, 0, with_present});
    run({alibi, DType::kF32, 0, with_present, Pattern::kTurns});
  }
}

// Beams that have nothing in common yet: what reads through a table adds in the same order.
TEST_P(Attend, ATableOfOwnPositionsChangesNoBit) {
  Random random(10);
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int dim : {33, 64}) {
      const ModelConfig config = make_config({6, 2, dim});
      const TestRows rows = make_rows(Pattern::kSingleRows);
      const TestCache cache(random, config, type, 3, kCapacity, false);
      const TestMatrix qkv =
          random_matrix(random, type, rows.table().rows, config.qkv_rows(), false);
      std::vector<int32_t> own;
      for (int32_t slot = 0; slot < 3 * kCapacity; ++slot) own.push_back(slot / kCapacity);
      const auto attend = [&](const int32_t* source) {
        KvView view = cache.view;
        view.source = source;
        TestMatrix out(type, rows.table().rows, 6 * dim);
        backend(2)->attend({&config, rows.table(), qkv.matrix(), view, 0, out.matrix()});
        return out;
      };
      const TestMatrix want = attend(nullptr), got = attend(own.data());
      for (int64_t r = 0; r < rows.table().rows; ++r) {
        EXPECT_EQ(got.row_bytes(r), want.row_bytes(r)) << dtype_name(type) << " " << dim;
      }
    }
  }
}

// Decoding steps of a large batch, with and without the hint that they are.
TEST_P(Attend, ManySingleRows) {
  Random random(8);
  const ModelConfig config = make_config({2, 1, 64});
  TestRows rows = make_rows(Pattern::kTurns);
  const TestCache cache(random, config, DType::kF16, 3, kCapacity, false);
  const TestMatrix qkv =
      random_matrix(random, DType::kF16, rows.table().rows, config.qkv_rows(), false, 4);
  TestMatrix plain(DType::kF16, rows.table().rows, 128, 4);
  TestMatrix hinted(DType::kF16, rows.table().rows, 128, 4);
  backend(2)->attend({&config, rows.table(), qkv.matrix(), cache.view, 0, plain.matrix()});
  rows.single_rows = true;
  backend(2)->attend({&config, rows.table(), qkv.matrix(), cache.view, 0, hinted.matrix()});
  for (int64_t r = 0; r < rows.table().rows; ++r) {
    // Weights and outputs are rounded on one way or both: 2^-11 of values of a few.
    for (int64_t d = 0; d < 128; ++d) EXPECT_NEAR(hinted.get(r, d), plain.get(r, d), 4e-3);
  }
}

// A prompt's bits do not depend on what else is in the batch, if both are prompts to the device.
TEST_P(Attend, PromptsHaveTheSameBitsInEveryBatch) {
  Random random(7);
  const ModelConfig config = make_config({2, 1, 64});
  const TestRows rows = make_rows(Pattern::kLongPrompts);
  constexpr int64_t kLast = 70;  // rows of the last prompt
  const int64_t first = rows.table().rows - kLast;
  const TestCache cache(random, config, DType::kF16, 3, 176, false);
  const TestMatrix qkv =
      random_matrix(random, DType::kF16, rows.table().rows, config.qkv_rows(), false, 4);
  for (int window : {0, 33}) {
    TestMatrix all(DType::kF16, rows.table().rows, 128, 4), alone(DType::kF16, kLast, 128, 4);
    backend(2)->attend({&config, rows.table(), qkv.matrix(), cache.view, window, all.matrix()});
    backend(2)->attend({&config, rows.table().slice(first, kLast),
                        qkv.matrix().slice_rows(first, kLast), cache.view, window, alone.matrix()});
    for (int64_t r = 0; r < kLast; ++r) EXPECT_EQ(alone.row_bytes(r), all.row_bytes(first + r));
  }
}

TEST(Alibi, SlopesAreThoseOfTransformers) {
  for (int heads : {1, 2, 3, 7, 8, 12, 14, 16, 17, 32, 112}) {
    const auto want = reference::alibi_slopes(heads);
    ASSERT_EQ(want.size(), static_cast<size_t>(heads));
    for (int h = 0; h < heads; ++h) {
      EXPECT_NEAR(cpu::alibi_slope(h, heads), want[h], 1e-7 * want[h]) << heads << " heads: " << h;
    }
  }
}

// Scores far apart: the softmax must neither overflow nor divide by zero.
TEST_P(Attend, LargeScoresStayFinite) {
  Random random(4);
  const ModelConfig config = make_config({1, 1, 16});
  const TestRows rows{{0}, {kCapacity - 1}};
  TestCache cache(random, config, DType::kF32, 1, kCapacity, false);
  for (int64_t i = 0; i < kCapacity * 16; ++i) cache.keys.set(0, i, cache.keys.get(0, i) * 1e4);
  const TestMatrix qkv = random_matrix(random, DType::kF32, 1, config.qkv_rows(), false);
  TestMatrix out(DType::kF32, 1, 16);
  backend(1)->attend({&config, rows.table(), qkv.matrix(), cache.view, 0, out.matrix()});
  for (int64_t i = 0; i < 16; ++i) EXPECT_TRUE(std::isfinite(out.get(0, i)));
}

// The law: bits depend on the row and what it sees alone; a full bitmap equals none.
TEST_P(AttendOnCpu, BitsDependOnTheRowAlone) {
  Random random(5);
  const ModelConfig config = make_config({6, 2, 33});
  constexpr int64_t kRows = 64;
  TestRows rows;
  for (int32_t r = 0; r < kRows; ++r) {
    rows.sequence.push_back(r % 3);
    rows.position.push_back(r);
  }
  TestCache cache(random, config, DType::kF32, 3, kCapacity, true);
  std::fill(cache.present.begin(), cache.present.end(), uint8_t{1});
  const TestMatrix qkv = random_matrix(random, DType::kF32, kRows, config.qkv_rows(), false);
  const auto run = [&](int threads, int64_t first, int64_t count, bool with_present) {
    KvView view = cache.view;
    if (!with_present) view.present = nullptr;
    TestMatrix out(DType::kF32, count, 6 * 33);
    backend(threads)->attend({&config, rows.table().slice(first, count),
                              qkv.matrix().slice_rows(first, count), view, 0, out.matrix()});
    return out;
  };
  std::vector<std::string> want;
  for (int64_t r = 0; r < kRows; ++r) want.push_back(run(1, r, 1, false).row_bytes(0));
  for (int threads : {1, 2, 3}) {
    for (int64_t count : {1, 2, 3, 5, 8, 17, 64}) {
      for (bool with_present : {false, true}) {
        const TestMatrix out = run(threads, kRows - count, count, with_present);
        for (int64_t r = 0; r < count; ++r) {
          ASSERT_EQ(out.row_bytes(r), want[kRows - count + r]) << threads << " " << count;
        }
      }
    }
  }
}

}  // namespace
}  // namespace skipbench::cpu_test
