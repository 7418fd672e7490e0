// The inner product behind `linear` and attention: a register tile of rows x outputs.
// Included once per instruction set.
#if defined(SKIPBENCH_ENGINE_CPU_DOT_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SKIPBENCH_ENGINE_CPU_DOT_TILE_INL_H_
#undef SKIPBENCH_ENGINE_CPU_DOT_TILE_INL_H_
#else
#define SKIPBENCH_ENGINE_CPU_DOT_TILE_INL_H_
#endif

#include <algorithm>

#include "engine/cpu/weight_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

// Activation rows per tile: what the registers (32 with AVX-512, else 16) hold of accumulators.
constexpr int kMaxTileRows = kLanes == 16 ? 8 : 4;

// Outputs per tile for a number of rows: enough chains to hide the latency of a multiply-add.
template <int kRows>
constexpr int kTileOutputs = kRows <= 2 ? 4 : (kLanes == 16 && kRows == 4 ? 4 : 2);

// result[r][o] = sum over k of row_o[k] * x_r[k].
//
// One order for every tile shape: lane l adds the products of k = l, l + kLanes, l + 2 kLanes, ...
// in that order, one fused multiply-add each (zeros fill the last vector), then the lanes are
// added up by sum_of_lanes.
template <typename Row, int kRows, int kOutputs>
HWY_INLINE void dot_tile(const std::byte* const* rows, const float* const* scales,
                         const float* const* x, int64_t k_size, float* const* result) {
  const DF d;
  VF sum[kRows][kOutputs];
  unroll<kRows>([&](auto r) HWY_ATTR {
    unroll<kOutputs>([&](auto o) HWY_ATTR { sum[r][o] = hn::Zero(d); });
  });
  const int64_t steps = k_size / Row::kStep;
  for (int64_t s = 0; s < steps; ++s) {
    unroll<Row::kStep / kLanes>([&](auto i) HWY_ATTR {
      VF w[kOutputs];
      unroll<kOutputs>([&](auto o)
                           HWY_ATTR { w[o] = Row::template vector<i>(rows[o], scales[o], s); });
      unroll<kRows>([&](auto r) HWY_ATTR {
        const VF value = hn::LoadU(d, x[r] + s * Row::kStep + i * kLanes);
        unroll<kOutputs>([&](auto o) HWY_ATTR { sum[r][o] = hn::MulAdd(w[o], value, sum[r][o]); });
      });
    });
  }
  if constexpr (Row::kTail) {
    const int64_t rest = k_size - steps * Row::kStep;
    if (rest > 0) {
      unroll<kRows>([&](auto r) HWY_ATTR {
        const VF value = load_tail_as_f32<DType::kF32>(x[r] + steps * Row::kStep, rest);
        unroll<kOutputs>([&](auto o) HWY_ATTR {
          sum[r][o] = hn::MulAdd(Row::tail(rows[o], steps, rest), value, sum[r][o]);
        });
      });
    }
  }
  unroll<kRows>([&](auto r) HWY_ATTR {
    unroll<kOutputs>([&](auto o) HWY_ATTR { result[r][o] = sum_of_lanes(sum[r][o]); });
  });
}

// The same for any number of outputs, one tile of activation rows (x_rows <= kRows). Where a tile
// reaches over the edge it computes the last row or output again and drops it.
template <typename Row, int kRows>
HWY_NOINLINE void dot_strip(const std::byte* const* rows, int64_t outputs, const float* const* x,
                            int64_t x_rows, int64_t k_size, float* scale_space,
                            float* const* result) {
  constexpr int kOutputs = kTileOutputs<kRows>;
  const int64_t stride = scale_floats<Row>(k_size);
  const float* tile_x[kRows];
  for (int r = 0; r < kRows; ++r) tile_x[r] = x[std::min<int64_t>(r, x_rows - 1)];
  float buffer[kRows][kOutputs];
  float* buffer_rows[kRows];
  for (int r = 0; r < kRows; ++r) buffer_rows[r] = buffer[r];
  for (int64_t first = 0; first < outputs; first += kOutputs) {
    const int64_t count = std::min<int64_t>(kOutputs, outputs - first);
    const std::byte* tile_rows[kOutputs];
    const float* tile_scales[kOutputs];
    for (int o = 0; o < kOutputs; ++o) {
      tile_rows[o] = rows[first + std::min<int64_t>(o, count - 1)];
      tile_scales[o] = scale_space + o * stride;
      if constexpr (Row::kScales > 0) {
        Row::prepare(tile_rows[o], k_size / Row::kStep, scale_space + o * stride);
      }
    }
    dot_tile<Row, kRows, kOutputs>(tile_rows, tile_scales, tile_x, k_size, buffer_rows);
    for (int64_t r = 0; r < x_rows; ++r) {
      for (int64_t o = 0; o < count; ++o) result[r][first + o] = buffer[r][o];
    }
  }
}

// Any number of activation rows up to 8: the smallest tile that holds them.
template <typename Row>
HWY_INLINE void dot_rows(const std::byte* const* rows, int64_t outputs, const float* const* x,
                         int64_t x_rows, int64_t k_size, float* scale_space, float* const* result) {
  for (int64_t r = 0; r < x_rows; r += kMaxTileRows) {
    const int64_t n = std::min<int64_t>(kMaxTileRows, x_rows - r);
    if (n == 1) {
      dot_strip<Row, 1>(rows, outputs, x + r, n, k_size, scale_space, result + r);
    } else if (n == 2) {
      dot_strip<Row, 2>(rows, outputs, x + r, n, k_size, scale_space, result + r);
    } else if (n <= 4) {
      dot_strip<Row, 4>(rows, outputs, x + r, n, k_size, scale_space, result + r);
    } else {
      dot_strip<Row, kMaxTileRows>(rows, outputs, x + r, n, k_size, scale_space, result + r);
    }
  }
}

constexpr int kMaxTileOutputs = 4;

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard, per instruction set
