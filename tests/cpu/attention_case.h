// A model shape with its rows, projection output and cache, for the tests of append_kv and attend.
#pragma once

#include <cmath>
#include <vector>

#include "engine/cpu/heads.h"
#include "tests/cpu/test_support.h"

namespace skipbench::cpu_test {

struct Shape {
  int heads = 4;
  int kv_heads = 2;
  int head_dim = 33;
  PositionKind position = PositionKind::kRope;
  QkvLayout layout = QkvLayout::kSeparate;
};

inline ModelConfig make_config(const Shape& shape, int64_t pairs = 0) {
  ModelConfig config;
  config.num_heads = shape.heads;
  config.num_kv_heads = shape.kv_heads;
  config.head_dim = shape.head_dim;
  config.position = shape.position;
  config.qkv_layout = shape.layout;
  config.attention_scale = 1 / std::sqrt(static_cast<double>(shape.head_dim));
  for (int64_t i = 0; i < pairs; ++i) {
    config.rope.inverse_frequencies.push_back(
        std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(pairs)));
  }
  return config;
}

// A cache filled with noise, as memory that was used before is.
struct TestCache {
  TestMatrix keys;
  TestMatrix values;
  std::vector<uint8_t> present;
  KvView view;

  TestCache(Random& random, const ModelConfig& config, DType type, int64_t sequences,
            int64_t capacity, bool with_present)
      : keys(random_matrix(random, type, 1,
                           sequences * config.num_kv_heads * capacity * config.head_dim, false)),
        values(random_matrix(random, type, 1,
                             sequences * config.num_kv_heads * capacity * config.head_dim, false)),
        present(with_present ? sequences * capacity : 0) {
    view = {keys.matrix().data, values.matrix().data, type, capacity,
            with_present ? present.data() : nullptr};
  }
};

struct TestRows {
  std::vector<int32_t> sequence;
  std::vector<int32_t> position;
  bool single_rows = false;  // the hint

  RowTable table() const {
    return {static_cast<int64_t>(position.size()), nullptr, sequence.data(), position.data(),
            single_rows};
  }
};

}  // namespace skipbench::cpu_test
