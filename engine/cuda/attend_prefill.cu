// Attention of many rows in f32, for what attend_tensor does not take (f32, heads above 128 or not
// of a multiple of 8): a block takes a tile of neighbouring rows of one query head and walks over
// tiles of 32 keys in shared memory with an online softmax (FlashAttention, Dao et al. 2022,
// algorithm 1), so that scores never leave registers. Rows of a tile may belong to several
// sequences: the tile is worked on in runs of one sequence.
#include <algorithm>
#include <cassert>
#include <cmath>

#include "engine/cuda/attend_args.cuh"
#include "engine/cuda/reduce.cuh"

namespace skipbench::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kKeys = kWarpSize;  // of a tile: a lane each
constexpr int kMaxDims = 8;       // dimensions that a lane accumulates: heads up to 256

// The rows of a warp, with their softmax in progress.
template <int kQueries>
struct RowState {
  int64_t last[kQueries];   // own position; -1: no such row
  int64_t first[kQueries];  // first position seen
  float top[kQueries];
  float sum[kQueries];
  float values[kQueries][kMaxDims];  // of dimension lane + 32 i
};

// kKeys rows of the cache from position `begin` on as f32, [kKeys, dim + 1]: the odd stride keeps
// lanes that read one column of all keys in different banks. What is absent becomes zero.
__device__ __forceinline__ void load_tile(const AttendKernelArgs& args, const std::byte* cache,
                                          const Run& run, int kv_head, int64_t begin, float* tile) {
  const int dim = args.heads.dim;
  const int64_t base = cache_offset(args.heads, args.cache, run.sequence, kv_head, 0);
  const uint8_t* present = present_of(args, run.sequence);
  for (int key = warp_index(); key < kKeys; key += kWarps) {
    const int64_t p = begin + key;
    const bool seen = p <= run.last && (present == nullptr || present[p] != 0);
    for (int d = lane_index(); d < dim; d += kWarpSize) {
      tile[key * (dim + 1) + d] =
          seen ? load_element(args.cache.type, cache, base + p * dim + d) : 0.0f;
    }
  }
}

// Scores of the warp's rows with the lane's key at position p.
template <int kQueries>
__device__ __forceinline__ void tile_scores(const AttendKernelArgs& args, const float* queries,
                                            const float* tile, const int64_t (&last)[kQueries],
                                            int64_t p, float slope, float (&score)[kQueries]) {
  const int dim = args.heads.dim;
  const float* key = tile + lane_index() * (dim + 1);
#pragma unroll
  for (int q = 0; q < kQueries; ++q) score[q] = 0;
  for (int d = 0; d < dim; ++d) {
    const float k = key[d];
#pragma unroll
    for (int q = 0; q < kQueries; ++q) score[q] = fmaf(queries[q * dim + d], k, score[q]);
  }
#pragma unroll
  for (int q = 0; q < kQueries; ++q) {
    score[q] = score[q] * args.scale + static_cast<float>(p - last[q]) * slope;
  }
}

// Takes one tile of scores into the running softmax; weight: exp(score - top) of the lane's key.
template <int kQueries>
__device__ __forceinline__ void update_softmax(RowState<kQueries>& state,
                                               const float (&score)[kQueries],
                                               const bool (&seen)[kQueries],
                                               float (&weight)[kQueries]) {
#pragma unroll
  for (int q = 0; q < kQueries; ++q) {
    const float tile_top = warp_max(seen[q] ? score[q] : -INFINITY);
    const float top = fmaxf(state.top[q], tile_top);
    // Nothing seen yet: the difference of two infinities would be NaN.
    const float kept = state.top[q] == -INFINITY ? 0.0f : ptx::fast_exp(state.top[q] - top);
    weight[q] = seen[q] ? ptx::fast_exp(score[q] - top) : 0.0f;
    state.sum[q] = state.sum[q] * kept + warp_sum(weight[q]);
    state.top[q] = top;
#pragma unroll
    for (int i = 0; i < kMaxDims; ++i) state.values[q][i] *= kept;
  }
}

template <int kQueries>
__device__ __forceinline__ void add_values(RowState<kQueries>& state, const float* tile, int dim,
                                           const float (&weight)[kQueries]) {
  for (int key = 0; key < kKeys; ++key) {
    float of_key[kQueries];
#pragma unroll
    for (int q = 0; q < kQueries; ++q) of_key[q] = __shfl_sync(kFullWarp, weight[q], key);
#pragma unroll
    for (int i = 0; i < kMaxDims; ++i) {
      const int d = lane_index() + i * kWarpSize;
      if (d >= dim) break;
      const float value = tile[key * (dim + 1) + d];
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
        state.values[q][i] = fmaf(of_key[q], value, state.values[q][i]);
      }
    }
  }
}

template <int kQueries>
__device__ __forceinline__ void attend_run(const AttendKernelArgs& args, const Run& run,
                                           int64_t first_row, int kv_head, float slope,
                                           const float* queries, float* tile,
                                           RowState<kQueries>& state) {
  const uint8_t* present = present_of(args, run.sequence);
  for (int64_t begin = run.first / kKeys * kKeys; begin <= run.last; begin += kKeys) {
    __syncthreads();  // the tile before is no longer read
    load_tile(args, args.cache.keys, run, kv_head, begin, tile);
    __syncthreads();
    const int64_t p = begin + lane_index();
    float score[kQueries];
    tile_scores<kQueries>(args, queries, tile, state.last, p, slope, score);
    const bool there = p <= run.last && (present == nullptr || present[p] != 0);
    bool seen[kQueries];
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      const int64_t row = first_row + q;
      seen[q] =
          there && row >= run.begin && row < run.end && p <= state.last[q] && p >= state.first[q];
    }
    float weight[kQueries];
    update_softmax<kQueries>(state, score, seen, weight);
    __syncthreads();
    load_tile(args, args.cache.values, run, kv_head, begin, tile);
    __syncthreads();
    add_values<kQueries>(state, tile, args.heads.dim, weight);
  }
}

template <int kQueries>
__global__ void __launch_bounds__(kWarps* kWarpSize) attend_prefill_kernel(AttendKernelArgs args) {
  const int dim = args.heads.dim;
  const int head = static_cast<int>(blockIdx.y);
  const int kv_head = head / (args.heads.num_heads / args.heads.num_kv_heads);
  const int64_t tile_begin = static_cast<int64_t>(blockIdx.x) * kWarps * kQueries;
  const int64_t tile_end = min(args.rows, tile_begin + kWarps * kQueries);
  const int64_t first_row = tile_begin + warp_index() * kQueries;
  float* queries = dynamic_shared<float>() + warp_index() * kQueries * dim;  // the warp's own
  float* tile = dynamic_shared<float>() + kWarps * kQueries * dim;           // [kKeys, dim + 1]

  RowState<kQueries> state;
#pragma unroll
  for (int q = 0; q < kQueries; ++q) {
    const int64_t row = first_row + q;
    state.last[q] = row < tile_end ? args.position[row] : -1;
    state.first[q] = first_seen(args, state.last[q]);
    state.top[q] = -INFINITY;
    state.sum[q] = 0;
#pragma unroll
    for (int i = 0; i < kMaxDims; ++i) state.values[q][i] = 0;
    for (int d = lane_index(); d < dim; d += kWarpSize) {
      queries[q * dim + d] = row < tile_end ? load_element(args.qkv.type, row_of(args.qkv, row),
                                                           query_column(args.heads, head) + d)
                                            : 0.0f;
    }
  }
  const float slope = args.alibi ? alibi_slope(head, args.heads.num_heads) : 0.0f;
  // The barriers of attend_run order the queries, too.
  for (int64_t begin = tile_begin; begin < tile_end;) {
    const Run run = run_at(args, begin, tile_end);
    attend_run<kQueries>(args, run, first_row, kv_head, slope, queries, tile, state);
    begin = run.end;
  }
#pragma unroll
  for (int q = 0; q < kQueries; ++q) {
    if (first_row + q >= tile_end) break;
    std::byte* out = row_of(args.out, first_row + q);
#pragma unroll
    for (int i = 0; i < kMaxDims; ++i) {
      const int d = lane_index() + i * kWarpSize;
      if (d >= dim) break;
      store_element(args.out.type, out, static_cast<int64_t>(head) * dim + d,
                    state.values[q][i] / state.sum[q]);
    }
  }
}

template <int kQueries>
void launch_prefill(Context& context, const AttendKernelArgs& args) {
  const int64_t tiles = (args.rows + kWarps * kQueries - 1) / (kWarps * kQueries);
  const int64_t floats = kWarps * kQueries * args.heads.dim + kKeys * (args.heads.dim + 1);
  launch(attend_prefill_kernel<kQueries>,
         {.grid = dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(args.heads.num_heads)),
          .block = dim3(kWarps * kWarpSize),
          .shared_bytes = static_cast<size_t>(floats) * sizeof(float)},
         context.stream, args);
}

// Up to here rows are too few to fill the device with tiles.
constexpr int64_t kMaxDecodeRows = 64;

}  // namespace

void attend_prefill(Context& context, const AttendArgs& args) {
  // 48 KiB of shared memory hold 16 rows of heads up to 128, or 8 up to 256.
  const AttendKernelArgs kernel = attend_kernel_args(args);
  if (kernel.heads.dim <= 128) return launch_prefill<4>(context, kernel);
  launch_prefill<2>(context, kernel);
}

void attend(Context& context, const AttendArgs& args) {
  if (args.rows.rows == 0) return;
  assert(args.config->head_dim <= kMaxDims * kWarpSize);
  // Tiles hold keys of one sequence: rows that share positions are not for them.
  if (args.rows.rows <= kMaxDecodeRows || args.rows.single_rows || args.cache.source != nullptr) {
    return attend_decode(context, args);
  }
  if (attend_tensor_takes(context, args)) return attend_tensor(context, args);
  attend_prefill(context, args);
}

}  // namespace skipbench::cuda
