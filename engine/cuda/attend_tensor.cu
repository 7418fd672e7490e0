// Attention of many rows on the tensor cores, for heads of up to 128 dimensions in f16 or bf16:
// a block takes a tile of 64 neighbouring rows of one query head, 16 a warp, and walks over tiles
// of 64 keys with an online softmax in registers (FlashAttention-2, Dao 2023, algorithm 1). Weights
// are rounded to the cache's type before they meet the values, all sums are f32. Rows of a tile may
// belong to several sequences: the tile is worked on in runs of one sequence.
//
// Keys and values of the next tile are on their way while one is worked on: two buffers in turns,
// one barrier a tile. Tiles of keys begin at multiples of 64, and one of which a row sees nothing
// leaves it as it was, so a row has the same bits in every batch.
// A value that is not finite makes NaN of the other rows of its warp that work on the same tile,
// too: zero times infinity (keeping such rows' sums aside costs registers that there are not).
#include <cmath>

#include "engine/cuda/attend_args.cuh"
#include "engine/cuda/reduce.cuh"

namespace skipbench::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kWarpRows = 16;  // the rows of a product
constexpr int kRows = kWarps * kWarpRows;
constexpr int kKeys = 64;   // of a tile
constexpr int kVector = 8;  // elements of 16 bytes
constexpr float kLog2E = 1.44269504f;

// Heads of up to kDim dimensions; the rest are zeros.
template <typename T, int kDim>
struct Tile {
  // Eight lanes that read neighbouring rows at once are in different banks.
  static constexpr int kPitch = kDim + kVector;
  T keys[kKeys * kPitch];
  T values[kKeys * kPitch];
};

// Two rows of a warp that a lane shares with three others: g and g + 8 of its 16, g = lane / 4.
template <int kDim>
struct RowPair {
  uint32_t query[kDim / 16][4];  // fragments a: (g, 2t..), (g + 8, 2t..), and 8 columns on
  int64_t last[2];               // own position; -1: no such row
  float top[2];                  // of the scores so far, in powers of two
  float sum[2];                  // of the weights in this lane's columns
  float values[kDim / 8][4];     // (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1) of 8 columns
};

// What one head of the kernel needs beside the arguments.
struct Head {
  int query = 0;
  int kv = 0;
  float scale = 1;  // of scores in powers of two
  float slope = 0;  // the same of ALiBi's bias
};

__device__ __forceinline__ int lane_row() { return lane_index() / 4; }
__device__ __forceinline__ int lane_column() { return lane_index() % 4 * 2; }

template <typename T, int kDim>
__device__ __forceinline__ void load_queries(const AttendKernelArgs& args, const Head& head,
                                             int64_t first_row, RowPair<kDim>& rows) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int64_t row = first_row + lane_row() + 8 * i;
    const bool exists = row < args.rows;
    rows.last[i] = exists ? args.position[row] : -1;
    rows.top[i] = -INFINITY;
    rows.sum[i] = 0;
    const T* query = reinterpret_cast<const T*>(row_of(args.qkv, exists ? row : 0)) +
                     query_column(args.heads, head.query);
#pragma unroll
    for (int s = 0; s < kDim / 16; ++s) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int column = 16 * s + 8 * half + lane_column();
        rows.query[s][2 * half + i] = exists && column < args.heads.dim
                                          ? *reinterpret_cast<const uint32_t*>(query + column)
                                          : 0;
      }
    }
  }
#pragma unroll
  for (int d = 0; d < kDim / 8; ++d) {
#pragma unroll
    for (int i = 0; i < 4; ++i) rows.values[d][i] = 0;
  }
}

// Starts the copy of the keys and values from position `begin` on. What is absent, beyond the run
// or beyond the head becomes zero.
template <typename T, int kDim>
__device__ __forceinline__ void start_tile(const AttendKernelArgs& args, const Run& run,
                                           int kv_head, int64_t begin, Tile<T, kDim>& tile) {
  constexpr int kPieces = kDim / kVector;
  const int dim = args.heads.dim;
  const int64_t base = cache_offset(args.heads, args.cache, run.sequence, kv_head, begin);
  const T* keys = reinterpret_cast<const T*>(args.cache.keys) + base;
  const T* values = reinterpret_cast<const T*>(args.cache.values) + base;
  const uint8_t* present = present_of(args, run.sequence);
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < kKeys * kPieces; i += kWarps * kWarpSize) {
    const int key = i / kPieces;
    const int column = i % kPieces * kVector;
    const int64_t p = begin + key;
    const int to = key * Tile<T, kDim>::kPitch + column;
    if (column < dim && p <= run.last && (present == nullptr || present[p] != 0)) {
      ptx::copy_async16(tile.keys + to, keys + key * dim + column);
      ptx::copy_async16(tile.values + to, values + key * dim + column);
    } else {
      ptx::store16(tile.keys + to, {0, 0, 0, 0});
      ptx::store16(tile.values + to, {0, 0, 0, 0});
    }
  }
  ptx::copy_async_commit();
}

// score[n]: the two rows' with keys 8n + 2t and 8n + 2t + 1, in the order of RowPair::values.
template <typename T, int kDim>
__device__ __forceinline__ void tile_scores(const RowPair<kDim>& rows, const T* keys,
                                            float (&score)[kKeys / 8][4]) {
#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) score[n][i] = 0;
  }
#pragma unroll
  for (int s = 0; s < kDim / 16; ++s) {
    const auto& q = rows.query[s];
    const ptx::FragmentA query = {{q[0], q[1], q[2], q[3]}};
#pragma unroll
    for (int n = 0; n < kKeys / 8; n += 2) {
      ptx::FragmentB key[2];
      ptx::load_columns(keys + 8 * n * Tile<T, kDim>::kPitch + 16 * s, Tile<T, kDim>::kPitch, key);
      ptx::multiply_16x8x16<T>(query, key[0], score[n]);
      ptx::multiply_16x8x16<T>(query, key[1], score[n + 1]);
    }
  }
}

// Scores in powers of two, with ALiBi's bias; minus infinity for what a row does not see. `last`:
// of the rows in this run, -1 for others.
__device__ __forceinline__ void scale_and_mask(const AttendKernelArgs& args, const Head& head,
                                               const uint8_t* present, int64_t begin,
                                               const int64_t (&last)[2],
                                               float (&score)[kKeys / 8][4]) {
  // Counted from the tile's first key.
  const int to[2] = {static_cast<int>(last[0] - begin), static_cast<int>(last[1] - begin)};
  const int from[2] = {static_cast<int>(first_seen(args, last[0]) - begin),
                       static_cast<int>(first_seen(args, last[1]) - begin)};
#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = 8 * n + lane_column() + i % 2;
      const float bias = static_cast<float>(key - to[i / 2]) * head.slope;
      score[n][i] = fmaf(score[n][i], head.scale, bias);
    }
  }
  const bool sees_all =
      present == nullptr && min(to[0], to[1]) >= kKeys - 1 && max(from[0], from[1]) <= 0;
  if (!__any_sync(kFullWarp, !sees_all)) return;
#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = 8 * n + lane_column() + i % 2;
      const bool seen = key <= to[i / 2] && key >= from[i / 2] &&
                        (present == nullptr || present[begin + key] != 0);
      if (!seen) score[n][i] = -INFINITY;
    }
  }
}

// Takes one tile of scores into the running softmax; they become weights.
template <int kDim>
__device__ __forceinline__ void update_softmax(RowPair<kDim>& rows, float (&score)[kKeys / 8][4]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float top = rows.top[i];
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
      top = fmaxf(top, fmaxf(score[n][2 * i], score[n][2 * i + 1]));
    }
    top = fmaxf(top, __shfl_xor_sync(kFullWarp, top, 1));
    top = fmaxf(top, __shfl_xor_sync(kFullWarp, top, 2));
    // Nothing seen yet: the difference of two infinities would be NaN.
    const float base = top == -INFINITY ? 0.0f : top;
    const float kept = ptx::fast_exp2(rows.top[i] - base);
    rows.top[i] = top;
    rows.sum[i] *= kept;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int j = 2 * i; j < 2 * i + 2; ++j) {
        score[n][j] = ptx::fast_exp2(score[n][j] - base);
        rows.sum[i] += score[n][j];
      }
    }
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
      rows.values[d][2 * i] *= kept;
      rows.values[d][2 * i + 1] *= kept;
    }
  }
}

template <typename T, int kDim>
__device__ __forceinline__ void add_values(RowPair<kDim>& rows, const T* values,
                                           const float (&weight)[kKeys / 8][4]) {
#pragma unroll
  for (int s = 0; s < kKeys / 16; ++s) {
    // The sums of two products, (g, 2t..) of 8 columns each, are where a wants 16 columns.
    const auto& low = weight[2 * s];
    const auto& high = weight[2 * s + 1];
    const ptx::FragmentA of_keys = {{pack_two<T>(low[0], low[1]), pack_two<T>(low[2], low[3]),
                                     pack_two<T>(high[0], high[1]), pack_two<T>(high[2], high[3])}};
#pragma unroll
    for (int d = 0; d < kDim / 8; d += 2) {
      ptx::FragmentB value[2];
      ptx::load_rows(values + 16 * s * Tile<T, kDim>::kPitch + 8 * d, Tile<T, kDim>::kPitch, value);
      ptx::multiply_16x8x16<T>(of_keys, value[0], rows.values[d]);
      ptx::multiply_16x8x16<T>(of_keys, value[1], rows.values[d + 1]);
    }
  }
}

// The warp's rows with one tile of keys. Every lane of the warp is here.
template <typename T, int kDim>
__device__ __forceinline__ void attend_tile(const AttendKernelArgs& args, const Head& head,
                                            const Run& run, int64_t first_row, int64_t begin,
                                            const Tile<T, kDim>& tile, RowPair<kDim>& rows) {
  int64_t last[2];  // of rows in this run
  bool sees_some = false;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int64_t row = first_row + lane_row() + 8 * i;
    last[i] = row >= run.begin && row < run.end ? rows.last[i] : -1;
    sees_some = sees_some || (last[i] >= begin && first_seen(args, last[i]) < begin + kKeys);
  }
  if (!__any_sync(kFullWarp, sees_some)) return;
  float score[kKeys / 8][4];
  tile_scores<T, kDim>(rows, tile.keys, score);
  scale_and_mask(args, head, present_of(args, run.sequence), begin, last, score);
  update_softmax<kDim>(rows, score);
  add_values<T, kDim>(rows, tile.values, score);
}

template <typename T, int kDim>
__device__ __forceinline__ void store_rows(const AttendKernelArgs& args, const Head& head,
                                           int64_t first_row, const RowPair<kDim>& rows) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float sum = rows.sum[i];
    sum += __shfl_xor_sync(kFullWarp, sum, 1);
    sum += __shfl_xor_sync(kFullWarp, sum, 2);
    const int64_t row = first_row + lane_row() + 8 * i;
    if (row >= args.rows) continue;
    const float factor = 1 / sum;
    T* out = reinterpret_cast<T*>(row_of(args.out, row)) + head.query * args.heads.dim;
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
      const int column = 8 * d + lane_column();
      if (column >= args.heads.dim) continue;
      *reinterpret_cast<uint32_t*>(out + column) =
          pack_two<T>(rows.values[d][2 * i] * factor, rows.values[d][2 * i + 1] * factor);
    }
  }
}

template <typename T, int kDim>
__global__ void __launch_bounds__(kWarps* kWarpSize, 2)
    attend_tensor_kernel(AttendKernelArgs args) {
  auto* tiles = dynamic_shared<Tile<T, kDim>>();  // two
  Head head;
  head.query = static_cast<int>(blockIdx.y);
  head.kv = head.query / (args.heads.num_heads / args.heads.num_kv_heads);
  head.scale = args.scale * kLog2E;
  head.slope = args.alibi ? alibi_slope(head.query, args.heads.num_heads) * kLog2E : 0.0f;
  // The last rows see the most keys: they begin first.
  const int64_t tile_begin = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * kRows;
  const int64_t tile_end = min(args.rows, tile_begin + kRows);
  const int64_t first_row = tile_begin + warp_index() * kWarpRows;

  RowPair<kDim> rows;
  load_queries<T, kDim>(args, head, first_row, rows);
  int turn = 0;
  for (int64_t row = tile_begin; row < tile_end;) {
    const Run run = run_at(args, row, tile_end);
    int64_t begin = run.first / kKeys * kKeys;
    start_tile<T, kDim>(args, run, head.kv, begin, tiles[turn % 2]);
    for (; begin <= run.last; begin += kKeys, ++turn) {
      ptx::copy_async_wait<0>();
      __syncthreads();  // this tile is there, and nobody reads the one before
      if (begin + kKeys <= run.last) {
        start_tile<T, kDim>(args, run, head.kv, begin + kKeys, tiles[(turn + 1) % 2]);
      }
      attend_tile<T, kDim>(args, head, run, first_row, begin, tiles[turn % 2], rows);
    }
    row = run.end;
  }
  store_rows<T, kDim>(args, head, first_row, rows);
}

template <typename T, int kDim>
void launch_tensor(Context& context, const AttendKernelArgs& args) {
  const auto kernel = attend_tensor_kernel<T, kDim>;
  constexpr size_t kBytes = 2 * sizeof(Tile<T, kDim>);
  allow_shared_bytes(context.shared_bytes_allowed, kernel, kBytes);
  launch(kernel,
         {.grid = dim3(static_cast<unsigned>((args.rows + kRows - 1) / kRows),
                       static_cast<unsigned>(args.heads.num_heads)),
          .block = dim3(kWarps * kWarpSize),
          .shared_bytes = kBytes},
         context.stream, args);
}

template <typename T>
void launch_for_dim(Context& context, const AttendKernelArgs& args) {
  if (args.heads.dim <= 64) return launch_tensor<T, 64>(context, args);
  launch_tensor<T, 128>(context, args);
}

// Whether rows of a matrix can be read 32 bits at a time.
bool has_even_rows(const Matrix& matrix) {
  return matrix.stride % 2 == 0 && reinterpret_cast<uintptr_t>(matrix.data) % 4 == 0;
}

}  // namespace

bool attend_tensor_takes(const Context& context, const AttendArgs& args) {
  const DType type = args.qkv.type;
  const int dim = args.config->head_dim;
  return (type == DType::kF16 || type == DType::kBF16) && args.cache.type == type &&
         args.out.type == type && dim <= 128 && dim % kVector == 0 && has_even_rows(args.qkv) &&
         has_even_rows(args.out) && reinterpret_cast<uintptr_t>(args.cache.keys) % 16 == 0 &&
         reinterpret_cast<uintptr_t>(args.cache.values) % 16 == 0 &&
         context.shared_bytes >= static_cast<int64_t>(2 * sizeof(Tile<F16, 128>));
}

void attend_tensor(Context& context, const AttendArgs& args) {
  const AttendKernelArgs kernel = attend_kernel_args(args);
  if (args.qkv.type == DType::kF16) return launch_for_dim<F16>(context, kernel);
  launch_for_dim<BF16>(context, kernel);
}

}  // namespace skipbench::cuda
