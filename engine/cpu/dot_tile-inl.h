// The inner product behind `linear` and attention: a register tile of rows x outputs.
// Included once per instruction set.
#if defined(SKIPBENCH_ENGINE_CPU_DOT_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SKIPBENCH_ENGINE_CPU_DOT_TILE_INL_H_
#undef SKIPBENCH_ENGINE_CPU_DOT_TILE_INL_H_
#else
#define SKIPBENCH_ENGINE_CPU_DOT_TILE_INL_H_
#endif

#include <algorithm>

#include "engine/cpu/lane_sums-inl.h"
#include "engine/cpu/weight_vectors-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

// One order of additions for every tile shape, and so for every number of rows: lane l adds the
// products of k = l, l + kLanes, l + 2 kLanes, ... in that order, one fused multiply-add each
// (zeros fill the last vector), then the lanes are added up by lane_sums.

// Activation rows per tile: what the registers (32 with AVX-512, else 16) hold of accumulators.
constexpr int kMaxTileRows = kLanes == 16 ? 8 : 4;

// Outputs per tile: enough chains to hide the latency of a multiply-add, no more than fit.
template <typename Row, int kRows>
constexpr int kTileOutputs = kLanes == 16 ? (kRows == 1     ? 8
                                             : kRows <= 4   ? 4
                                             : Row::kScaled ? 2
                                                            : 3)
                                          : (kRows <= 2 ? 4 : 2);

// The inner dimension is walked in pieces of this many elements, so that a tile's activation rows
// stay in the first-level cache (8 rows: 24 KiB) while the weights stream by.
constexpr int64_t kPiece = kPieceBlocks * kQuantBlock;  // 768

// How far ahead weights are asked for, against the page borders at which the hardware's own
// prefetching stops. Reaching behind the weights does no harm: a prefetch cannot fault.
constexpr int64_t kPrefetchBytes = 8192;

// Outputs that one call of dot_rows may have.
constexpr int64_t kMaxStripOutputs = 96;

// Floats of working memory that dot_rows needs for an inner dimension of k_size: the accumulators
// between two pieces.
constexpr int64_t strip_floats(int64_t k_size) {
  return k_size <= kPiece ? 0 : (kMaxStripOutputs + 8) * kMaxTileRows * kLanes;
}

// Block heads and scales of a tile on their way through dot_strip.
template <typename Row, int kOutputs>
struct TileScales {
  static constexpr int64_t kCount = Row::kScaled ? kOutputs * kPieceBlocks : 0;
  alignas(64) uint32_t heads[kCount + kLanes];
  alignas(64) float pairs[2 * (kCount + kLanes)];
};

// sum[r][o] += the products of steps [first, first + steps) of row o and activation row r. On the
// way the heads of the next tile's blocks, `ahead` bytes on, are copied: that costs nothing here,
// and it brings the next tile's weights into the first-level cache.
template <typename Row, int kRows, int kOutputs>
HWY_INLINE void add_products(const std::byte* const* rows, int64_t ahead, const float* const* x,
                             int64_t first, int64_t steps, TileScales<Row, kOutputs>& scales,
                             VF (&sum)[kRows][kOutputs]) {
  const DF d;
  constexpr int64_t kStepBytes = bytes_of(Row::kType, Row::kStep);
  if constexpr (Row::kScaled) convert_heads(scales.heads, steps * kOutputs, scales.pairs);
  for (int64_t s = 0; s < steps; ++s) {
    unroll<kOutputs>([&](auto o) HWY_ATTR {
      hwy::Prefetch(rows[o] + kPrefetchBytes + (first + s) * kStepBytes);
    });
    if constexpr (Row::kScaled) {
      unroll<kOutputs>([&](auto o) HWY_ATTR {
        copy_head(rows[o] + ahead + (first + s) * kStepBytes, scales.heads + s * kOutputs + o);
      });
    }
    unroll<Row::kStep / kLanes>([&](auto i) HWY_ATTR {
      VF w[kOutputs];
      unroll<kOutputs>([&](auto o) HWY_ATTR {
        w[o] = Row::template vector<i>(rows[o] + (first + s) * kStepBytes,
                                       scales.pairs + 2 * (s * kOutputs + o));
      });
      unroll<kRows>([&](auto r) HWY_ATTR {
        VF value = hn::LoadU(d, x[r] + (first + s) * Row::kStep + i * kLanes);
        keep_in_register(value);
        unroll<kOutputs>([&](auto o) HWY_ATTR { sum[r][o] = hn::MulAdd(w[o], value, sum[r][o]); });
      });
    });
  }
}

// The same for the last `rest` < kLanes elements of rows of a plain type.
template <typename Row, int kRows, int kOutputs>
HWY_INLINE void add_tail(const std::byte* const* rows, const float* const* x, int64_t steps,
                         int64_t rest, VF (&sum)[kRows][kOutputs]) {
  constexpr int64_t kStepBytes = bytes_of(Row::kType, Row::kStep);
  unroll<kRows>([&](auto r) HWY_ATTR {
    const VF value = load_tail_as_f32<DType::kF32>(x[r] + steps * Row::kStep, rest);
    unroll<kOutputs>([&](auto o) HWY_ATTR {
      sum[r][o] = hn::MulAdd(Row::tail(rows[o] + steps * kStepBytes, rest), value, sum[r][o]);
    });
  });
}

// result[r][o] = sum over k of row_o[k] * x_r[k] for a tile of activation rows (x_rows <= kRows)
// and up to kMaxStripOutputs outputs. Where a tile reaches over the edge it computes the last row
// or output again and drops it.
template <typename Row, int kRows>
HWY_NOINLINE void dot_strip(const std::byte* const* rows, int64_t outputs, const float* const* x,
                            int64_t x_rows, int64_t k_size, float* space, float* const* result) {
  const DF d;
  constexpr int kOutputs = kTileOutputs<Row, kRows>;
  const float* tile_x[kRows];
  for (int r = 0; r < kRows; ++r) tile_x[r] = x[std::min<int64_t>(r, x_rows - 1)];
  const int64_t steps = k_size / Row::kStep;
  const int64_t piece = std::max<int64_t>(1, kPiece / Row::kStep);
  TileScales<Row, kOutputs> scales;
  int64_t first_step = 0;
  do {
    bool heads_ready = false;
    const int64_t piece_steps = std::min(piece, steps - first_step);
    const bool last_piece = first_step + piece_steps == steps;
    for (int64_t first = 0; first < outputs; first += kOutputs) {
      const int64_t count = std::min<int64_t>(kOutputs, outputs - first);
      const std::byte* tile_rows[kOutputs];
      for (int o = 0; o < kOutputs; ++o) {
        tile_rows[o] = rows[first + std::min<int64_t>(o, count - 1)];
      }
      float* kept = space + first * kRows * kLanes;  // [kRows][kOutputs][kLanes]
      VF sum[kRows][kOutputs];
      unroll<kRows>([&](auto r) HWY_ATTR {
        unroll<kOutputs>([&](auto o) HWY_ATTR {
          sum[r][o] =
              first_step == 0 ? hn::Zero(d) : hn::LoadU(d, kept + (r * kOutputs + o) * kLanes);
        });
      });
      // Rows of a scaled type lie at equal distances: they are consecutive rows of one matrix.
      int64_t ahead = 0;
      if constexpr (Row::kScaled) {
        if (!heads_ready) {
          copy_heads<Row::kType, kOutputs>(tile_rows, first_step, piece_steps, scales.heads);
        }
        heads_ready = first + 2 * kOutputs <= outputs;
        if (heads_ready) ahead = rows[first + kOutputs] - rows[first];
      }
      add_products<Row, kRows, kOutputs>(tile_rows, ahead, tile_x, first_step, piece_steps, scales,
                                         sum);
      if (!last_piece) {
        unroll<kRows>([&](auto r) HWY_ATTR {
          unroll<kOutputs>([&](auto o) HWY_ATTR {
            hn::StoreU(sum[r][o], d, kept + (r * kOutputs + o) * kLanes);
          });
        });
        continue;
      }
      if constexpr (!Row::kScaled) {
        const int64_t rest = k_size - steps * Row::kStep;
        if (rest > 0) add_tail<Row, kRows, kOutputs>(tile_rows, tile_x, steps, rest, sum);
      }
      float sums[kRows * kOutputs];
      lane_sums<kRows * kOutputs>(&sum[0][0], sums);
      for (int64_t r = 0; r < x_rows; ++r) {
        for (int64_t o = 0; o < count; ++o) result[r][first + o] = sums[r * kOutputs + o];
      }
    }
    first_step += piece_steps;
  } while (first_step < steps);
}

// Any number of activation rows: tiles of the smallest shape that holds them. `space` has
// strip_floats(k_size) floats.
template <typename Row>
HWY_INLINE void dot_rows(const std::byte* const* rows, int64_t outputs, const float* const* x,
                         int64_t x_rows, int64_t k_size, float* space, float* const* result) {
  for (int64_t r = 0; r < x_rows; r += kMaxTileRows) {
    const int64_t n = std::min<int64_t>(kMaxTileRows, x_rows - r);
    if (n == 1) {
      dot_strip<Row, 1>(rows, outputs, x + r, n, k_size, space, result + r);
    } else if (n == 2) {
      dot_strip<Row, 2>(rows, outputs, x + r, n, k_size, space, result + r);
    } else if (n <= 4) {
      dot_strip<Row, 4>(rows, outputs, x + r, n, k_size, space, result + r);
    } else {
      dot_strip<Row, kMaxTileRows>(rows, outputs, x + r, n, k_size, space, result + r);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard, per instruction set
