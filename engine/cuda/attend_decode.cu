// Attention of few rows, split over the positions (flash-decoding): a block takes one chunk of
// positions of one kv head of one row, for all query heads of the group, so that keys and values
// are read once. Each block leaves weighted values with their maximum and sum; a second kernel
// merges the chunks that exist, unless there is one. The grid depends on the cache's capacity
// alone, not on positions.
//
// Rows that share positions (KvView::source, beams) have kernels of their own (kShared), so that
// the ordinary ones neither load nor keep anything for it.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <type_traits>

#include "engine/cuda/attend_args.cuh"
#include "engine/cuda/attend_lanes.cuh"
#include "engine/cuda/reduce.cuh"

namespace skipbench::cuda {
namespace {

constexpr int kMostWarps = 8;
constexpr int64_t kChunkUnit = 64;
constexpr int64_t kMinChunk = 256;  // a shorter context is not worth a second kernel

// Keys of a lane in flight at a time.
template <typename T, int kQueries, bool kVectors>
constexpr int kUnrollOf = !kVectors       ? 1
                          : kQueries == 1 ? 16 / static_cast<int>(sizeof(T))
                                          : 2;
// The same of shared positions: one where the table takes the registers of the second.
template <typename T, int kQueries, bool kVectors>
constexpr int kSharedUnrollOf = kQueries == 4 && sizeof(T) == 4 ? 1
                                                                : kUnrollOf<T, kQueries, kVectors>;

// A softmax in progress: `values` are weighted by exp(score - top), whose sum is `sum`.
// top = -inf: nothing seen yet.
struct Partial {
  float top = -INFINITY;
  float sum = 0;
};

// Factors that bring two partial results to a common maximum; 0 for one that has seen nothing,
// where the difference of two infinities would be NaN.
__device__ __forceinline__ float rescale(float top, float common) {
  return top == -INFINITY ? 0.0f : ptx::fast_exp(top - common);
}

// Results of the chunks: [rows, heads, chunks] of Partial, and of [dim] values behind them.
struct ChunkResults {
  Partial* partial = nullptr;
  float* values = nullptr;
  int64_t chunks = 0;
  int64_t chunk = 0;  // positions
};

// The queries [first, first + kQueries) of a group over one chunk, by one warp.
template <int kQueries>
struct QueryTile {
  float query[kQueries][kDims];
  float values[kQueries][kDims];
  Partial partial[kQueries];
};

// What a block keeps in shared memory to merge its warps: values [kMostWarps, kQueries, kMaxDim].
template <int kQueries>
struct WarpResults {
  Partial partial[kMostWarps][kQueries];
  float values[kMostWarps][kQueries][kMaxDim];
};

// Merges the lane groups of a warp that worked on different keys; offset: lanes of a key and up.
template <int kQueries>
__device__ __forceinline__ void merge_keys(QueryTile<kQueries>& tile, int lanes_per_key) {
  for (int offset = lanes_per_key; offset < kWarpSize; offset *= 2) {
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      Partial& mine = tile.partial[q];
      const float other_top = __shfl_xor_sync(kFullWarp, mine.top, offset);
      const float other_sum = __shfl_xor_sync(kFullWarp, mine.sum, offset);
      const float top = fmaxf(mine.top, other_top);
      const float a = rescale(mine.top, top);
      const float b = rescale(other_top, top);
      mine = {top, mine.sum * a + other_sum * b};
#pragma unroll
      for (int i = 0; i < kDims; ++i) {
        const float other = __shfl_xor_sync(kFullWarp, tile.values[q][i], offset);
        tile.values[q][i] = tile.values[q][i] * a + other * b;
      }
    }
  }
}

// Keys and values at the positions first, first + step .. below `end`, each from the memory of the
// sequence that the table of `sequence` names. The table's entries are all on their way before the
// first one is used.
template <typename T, bool kVectors, int kUnroll>
__device__ __forceinline__ void load_shared(const AttendKernelArgs& args, int64_t sequence,
                                            int kv_head, int32_t first, int32_t step, int32_t end,
                                            int lane_in_key, LaneDims<T, kVectors> (&keys)[kUnroll],
                                            LaneDims<T, kVectors> (&values)[kUnroll],
                                            bool (&seen)[kUnroll]) {
  const Cache& cache = args.cache;
  int32_t source[kUnroll];
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    const int32_t p = first + u * step;
    source[u] = p < end ? args.source[sequence * cache.capacity + p] : 0;
  }
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    const int32_t p = first + u * step;
    seen[u] =
        p < end && (cache.present == nullptr || cache.present[source[u] * cache.capacity + p] != 0);
    if (!seen[u]) continue;
    const int64_t at = cache_offset(args.heads, cache, source[u], kv_head, p);
    keys[u].load(reinterpret_cast<const T*>(cache.keys) + at, lane_in_key, args.heads.dim);
    values[u].load(reinterpret_cast<const T*>(cache.values) + at, lane_in_key, args.heads.dim);
  }
}

// Positions [begin, end) of the chunk, every warps * keys_per_warp apart for each lane. The loads
// of kUnrollOf of them are under way together: a short context is all latency.
template <typename T, int kQueries, bool kVectors, bool kShared>
__device__ __forceinline__ void scan_positions(const AttendKernelArgs& args, int64_t row,
                                               int kv_head, int64_t begin, int64_t chunk_end,
                                               const float (&slope)[kQueries], int lanes_per_key,
                                               QueryTile<kQueries>& tile) {
  // In half of the registers where the table takes some.
  using Position = std::conditional_t<kShared, int32_t, int64_t>;
  const auto end = static_cast<Position>(chunk_end);
  const int dim = args.heads.dim;
  const int64_t sequence = args.sequence[row];
  const Position own = args.position[row];
  const int64_t base = cache_offset(args.heads, args.cache, sequence, kv_head, 0);
  const T* keys = reinterpret_cast<const T*>(args.cache.keys) + base;
  const T* values = reinterpret_cast<const T*>(args.cache.values) + base;
  const uint8_t* present =
      args.cache.present == nullptr ? nullptr : args.cache.present + sequence * args.cache.capacity;
  const int lane_in_key = lane_index() % lanes_per_key;
  const int keys_per_warp = kWarpSize / lanes_per_key;
  const Position mine = warp_index() * keys_per_warp + lane_index() / lanes_per_key;
  constexpr int kUnroll =
      kShared ? kSharedUnrollOf<T, kQueries, kVectors> : kUnrollOf<T, kQueries, kVectors>;
  const Position step = warps_in_block() * keys_per_warp;
  // All lanes go round equally often, since they shuffle together.
  for (auto first = static_cast<Position>(begin); first < end; first += kUnroll * step) {
    LaneDims<T, kVectors> keys_here[kUnroll];
    LaneDims<T, kVectors> values_here[kUnroll];
    bool seen[kUnroll];
    if constexpr (kShared) {
      load_shared(args, sequence, kv_head, first + mine, step, end, lane_in_key, keys_here,
                  values_here, seen);
    } else {
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        const Position p = first + u * step + mine;
        seen[u] = p < end && (present == nullptr || present[p] != 0);
        if (!seen[u]) continue;  // what is absent is not read: it may be NaN
        keys_here[u].load(keys + p * dim, lane_in_key, dim);
        values_here[u].load(values + p * dim, lane_in_key, dim);
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (first + u * step >= end) break;
      float key[kDims];
      float value[kDims];
      keys_here[u].get(key);
      values_here[u].get(value);
      const auto distance = static_cast<float>(first + u * step + mine - own);
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
        float score = 0;
#pragma unroll
        for (int i = 0; i < kDims; ++i) score = fmaf(tile.query[q][i], key[i], score);
        for (int offset = lanes_per_key / 2; offset > 0; offset /= 2) {
          score += __shfl_xor_sync(kFullWarp, score, offset);
        }
        score = score * args.scale + distance * slope[q];
        if (!seen[u]) continue;
        Partial& partial = tile.partial[q];
        const float top = fmaxf(partial.top, score);
        const float kept = rescale(partial.top, top);
        const float weight = ptx::fast_exp(score - top);
        partial = {top, partial.sum * kept + weight};
#pragma unroll
        for (int i = 0; i < kDims; ++i) {
          tile.values[q][i] = fmaf(weight, value[i], tile.values[q][i] * kept);
        }
      }
    }
  }
}

// Merges the warps and writes the chunk's result of each query; the output itself where there is
// one chunk.
template <int kQueries>
__device__ __forceinline__ void write_chunk(const AttendKernelArgs& args,
                                            const ChunkResults& results, int64_t row,
                                            int first_head, int queries,
                                            const WarpResults<kQueries>& warps) {
  const int dim = args.heads.dim;
  const int num_warps = warps_in_block();
  std::byte* out = row_of(args.out, row);
  for (int q = 0; q < queries; ++q) {
    float top = -INFINITY;
    for (int w = 0; w < num_warps; ++w) top = fmaxf(top, warps.partial[w][q].top);
    float sum = 0;
    float scale[kMostWarps];
#pragma unroll
    for (int w = 0; w < kMostWarps; ++w) {
      scale[w] = w < num_warps ? rescale(warps.partial[w][q].top, top) : 0.0f;
      if (w < num_warps) sum += warps.partial[w][q].sum * scale[w];
    }
    const int head = first_head + q;
    const int64_t index = (row * args.heads.num_heads + head) * results.chunks + blockIdx.x;
    if (threadIdx.x == 0 && results.chunks > 1) results.partial[index] = {top, sum};
    for (int d = static_cast<int>(threadIdx.x); d < dim; d += static_cast<int>(blockDim.x)) {
      float value = 0;
#pragma unroll
      for (int w = 0; w < kMostWarps; ++w) {
        if (w < num_warps) value += warps.values[w][q][d] * scale[w];
      }
      if (results.chunks > 1) {
        results.values[index * dim + d] = value;
      } else {
        store_element(args.out.type, out, static_cast<int64_t>(head) * dim + d, value / sum);
      }
    }
  }
}

template <typename T, int kQueries, bool kVectors, bool kShared>
__global__ void __launch_bounds__(kMostWarps* kWarpSize, 2)
    attend_decode_kernel(AttendKernelArgs args, ChunkResults results, int lanes_per_key) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  const int64_t row = blockIdx.z;
  const int kv_head = static_cast<int>(blockIdx.y);
  const int64_t own = args.position[row];
  const int64_t begin =
      max(static_cast<int64_t>(blockIdx.x) * results.chunk, first_seen(args, own));
  const int64_t end = min((static_cast<int64_t>(blockIdx.x) + 1) * results.chunk, own + 1);
  if (begin >= end) return;  // the merge knows which chunks exist

  const int dim = args.heads.dim;
  const int group = args.heads.num_heads / args.heads.num_kv_heads;
  const int lane_in_key = lane_index() % lanes_per_key;
  const std::byte* qkv = row_of(args.qkv, row);
  auto& warps = block_shared<WarpResults<kQueries>>();
  // Larger groups than a tile read their keys again, from the cache of the multiprocessor.
  for (int first = 0; first < group; first += kQueries) {
    QueryTile<kQueries> tile = {};
    float slope[kQueries];
    const int queries = min(kQueries, group - first);
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      const int head = kv_head * group + first + min(q, queries - 1);
      slope[q] = args.alibi ? alibi_slope(head, args.heads.num_heads) : 0.0f;
      load_query<kVectors>(args.qkv.type, qkv, query_column(args.heads, head), lane_in_key, dim,
                           tile.query[q]);
    }
    scan_positions<T, kQueries, kVectors, kShared>(args, row, kv_head, begin, end, slope,
                                                   lanes_per_key, tile);
    merge_keys<kQueries>(tile, lanes_per_key);
    __syncthreads();  // the tile before is no longer read
    if (lane_index() < lanes_per_key) {
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
        if (lane_index() == 0) warps.partial[warp_index()][q] = tile.partial[q];
#pragma unroll
        for (int i = 0; i < kDims; ++i) {
          const int d = dimension<kVectors>(lane_in_key, i);
          if (d < dim) warps.values[warp_index()][q][d] = tile.values[q][i];
        }
      }
    }
    __syncthreads();
    write_chunk<kQueries>(args, results, row, kv_head * group + first, queries, warps);
  }
}

// A warp per (head, row): all chunks that the row sees, in ascending order.
__global__ void attend_merge_kernel(AttendKernelArgs args, ChunkResults results) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  const int64_t row = blockIdx.y;
  const int head = static_cast<int>(blockIdx.x);
  const int dim = args.heads.dim;
  const int64_t own = args.position[row];
  const int64_t first = first_seen(args, own) / results.chunk;
  const int64_t last = own / results.chunk;
  const int64_t base = (row * args.heads.num_heads + head) * results.chunks;
  float top = -INFINITY;
  for (int64_t c = first; c <= last; ++c) top = fmaxf(top, results.partial[base + c].top);
  float sum = 0;
  for (int64_t c = first; c <= last; ++c) {
    sum += results.partial[base + c].sum * rescale(results.partial[base + c].top, top);
  }
  std::byte* out = row_of(args.out, row);
  for (int d = lane_index(); d < dim; d += kWarpSize) {
    float value = 0;
    for (int64_t c = first; c <= last; ++c) {
      value += results.values[(base + c) * dim + d] * rescale(results.partial[base + c].top, top);
    }
    store_element(args.out.type, out, static_cast<int64_t>(head) * dim + d, value / sum);
  }
}

// Positions per chunk: as many chunks as keep the multiprocessors busy, none shorter than
// kMinChunk.
int64_t chunk_positions(const Context& context, int64_t capacity, int64_t blocks_per_chunk) {
  const int64_t wanted =
      std::max<int64_t>(1, 4 * context.multiprocessors / std::max<int64_t>(1, blocks_per_chunk));
  const int64_t positions = (capacity + wanted - 1) / wanted;
  return std::max(kMinChunk, (positions + kChunkUnit - 1) / kChunkUnit * kChunkUnit);
}

template <typename T, int kQueries, bool kShared>
void launch_tile(Context& context, const AttendKernelArgs& args, const ChunkResults& results,
                 LaunchShape shape) {
  const int dim = args.heads.dim;
  const bool vectors = dim % kDims == 0 && reinterpret_cast<uintptr_t>(args.cache.keys) % 16 == 0 &&
                       reinterpret_cast<uintptr_t>(args.cache.values) % 16 == 0;
  // As many warps as a chunk gives something to do.
  const auto set_warps = [&](int64_t keys_of_warp) {
    const int64_t warps =
        (std::min(results.chunk, args.cache.capacity) + keys_of_warp - 1) / keys_of_warp;
    shape.block =
        dim3(static_cast<unsigned>(std::clamp<int64_t>(warps, 1, kMostWarps) * kWarpSize));
  };
  if (!vectors) {
    set_warps(4);
    launch(attend_decode_kernel<T, kQueries, false, kShared>, shape, context.stream, args, results,
           kWarpSize);
    return;
  }
  int lanes_per_key = 1;
  while (lanes_per_key * kDims < dim) lanes_per_key *= 2;
  set_warps(kWarpSize / lanes_per_key * kUnrollOf<T, kQueries, true>);
  launch(attend_decode_kernel<T, kQueries, true, kShared>, shape, context.stream, args, results,
         lanes_per_key);
}

template <typename T, bool kShared>
void launch_group(Context& context, const AttendKernelArgs& args, const ChunkResults& results,
                  const LaunchShape& shape) {
  const int group = args.heads.num_heads / args.heads.num_kv_heads;
  if (group == 1) return launch_tile<T, 1, kShared>(context, args, results, shape);
  if (group == 2) return launch_tile<T, 2, kShared>(context, args, results, shape);
  launch_tile<T, 4, kShared>(context, args, results, shape);
}

template <typename T>
void launch_decode(Context& context, const AttendKernelArgs& args, const ChunkResults& results,
                   const LaunchShape& shape) {
  if (args.source != nullptr) return launch_group<T, true>(context, args, results, shape);
  launch_group<T, false>(context, args, results, shape);
}

}  // namespace

void attend_decode(Context& context, const AttendArgs& args) {
  const AttendKernelArgs kernel = attend_kernel_args(args);
  const HeadLayout& heads = kernel.heads;
  ChunkResults results;
  results.chunk = chunk_positions(context, kernel.cache.capacity, kernel.rows * heads.num_kv_heads);
  results.chunks = (kernel.cache.capacity + results.chunk - 1) / results.chunk;
  const int64_t entries = results.chunks == 1 ? 0 : kernel.rows * heads.num_heads * results.chunks;
  const int64_t partial_bytes = entries * static_cast<int64_t>(sizeof(Partial));
  auto* memory = context.scratch<std::byte>(
      Slot::kAttention, partial_bytes + entries * heads.dim * static_cast<int64_t>(sizeof(float)));
  results.partial = reinterpret_cast<Partial*>(memory);
  results.values = reinterpret_cast<float*>(memory + partial_bytes);
  const LaunchShape shape = {
      .grid = dim3(static_cast<unsigned>(results.chunks), static_cast<unsigned>(heads.num_kv_heads),
                   static_cast<unsigned>(kernel.rows)),
      .overlap_previous = true};
  switch (kernel.cache.type) {
    case DType::kF16:
      launch_decode<F16>(context, kernel, results, shape);
      break;
    case DType::kBF16:
      launch_decode<BF16>(context, kernel, results, shape);
      break;
    default:
      launch_decode<float>(context, kernel, results, shape);
  }
  if (results.chunks == 1) return;
  launch(attend_merge_kernel,
         {.grid = dim3(static_cast<unsigned>(heads.num_heads), static_cast<unsigned>(kernel.rows)),
          .block = dim3(kWarpSize),
          .overlap_previous = true},
         context.stream, kernel, results);
}

}  // namespace skipbench::cuda
