// Query and key norm, RoPE and the append to the cache. A block works on some heads of one row, a
// warp on one head at a time, with the head in shared memory as f32.
#include <cmath>

#include "engine/cuda/heads.cuh"
#include "engine/cuda/norm_row.cuh"
#include "engine/cuda/operations.h"

namespace skipbench::cuda {
namespace {

constexpr int kWarps = 8;  // heads that a block works on

struct AppendArgs {
  HeadLayout heads;
  const int32_t* sequence = nullptr;
  const int32_t* position = nullptr;
  Rows qkv;
  Cache cache;
  bool keys_and_values_only = false;
  bool qk_norm = false;
  double epsilon = 0;
  const float* query_gain = nullptr;  // [dim]
  const float* key_gain = nullptr;    // [dim]
  const double* frequencies = nullptr;
  int pairs = 0;
  double attention_factor = 1;
  bool interleaved = false;
};

// cos and sin of the row's angles, [pairs] each. In f64: the angle p * frequency has too few bits
// in f32 once p is in the thousands.
__device__ __forceinline__ void make_angles(const AppendArgs& args, double position, float* cosine,
                                            float* sine) {
  for (int i = static_cast<int>(threadIdx.x); i < args.pairs; i += static_cast<int>(blockDim.x)) {
    const double angle = position * args.frequencies[i];
    cosine[i] = static_cast<float>(cos(angle) * args.attention_factor);
    sine[i] = static_cast<float>(sin(angle) * args.attention_factor);
  }
}

// Normalises and rotates `head` [dim], whole warp.
__device__ __forceinline__ void transform(const AppendArgs& args, const float* gain,
                                          const float* cosine, const float* sine, float* head) {
  const int lane = lane_index();
  const int dim = args.heads.dim;
  if (args.qk_norm) {
    float squares = 0;
    for (int i = lane; i < dim; i += kWarpSize) squares += head[i] * head[i];
    const float factor = norm_factor(warp_sum(squares), dim, args.epsilon);
    for (int i = lane; i < dim; i += kWarpSize) head[i] = head[i] * factor * gain[i];
    __syncwarp();
  }
  for (int i = lane; i < args.pairs; i += kWarpSize) {
    float& first = head[args.interleaved ? 2 * i : i];
    float& second = head[args.interleaved ? 2 * i + 1 : args.pairs + i];
    const float a = first;
    const float b = second;
    first = a * cosine[i] - b * sine[i];
    second = b * cosine[i] + a * sine[i];
  }
  __syncwarp();
}

__global__ void append_kv_kernel(AppendArgs args) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  const int dim = args.heads.dim;
  float* cosine = dynamic_shared<float>();  // [pairs], then sine [pairs], then heads [warps, dim]
  float* sine = cosine + args.pairs;
  float* head = sine + args.pairs + warp_index() * dim;
  const int64_t row = blockIdx.x;
  const int64_t position = args.position[row];
  const int64_t sequence = args.sequence[row];
  make_angles(args, static_cast<double>(position), cosine, sine);
  __syncthreads();
  if (args.cache.present != nullptr && blockIdx.y == 0 && threadIdx.x == 0) {
    args.cache.present[sequence * args.cache.capacity + position] = 1;
  }

  // Key heads first, then query heads: without queries the grid is just smaller.
  const int index = static_cast<int>(blockIdx.y) * kWarps + warp_index();
  const int kv_heads = args.heads.num_kv_heads;
  if (index >= kv_heads + (args.keys_and_values_only ? 0 : args.heads.num_heads)) return;
  const bool is_key = index < kv_heads;
  const int64_t column =
      is_key ? key_column(args.heads, index) : query_column(args.heads, index - kv_heads);
  std::byte* qkv = row_of(args.qkv, row);
  const int lane = lane_index();
  for (int i = lane; i < dim; i += kWarpSize)
    head[i] = load_element(args.qkv.type, qkv, column + i);
  __syncwarp();
  transform(args, is_key ? args.key_gain : args.query_gain, cosine, sine, head);
  if (!is_key) {
    for (int i = lane; i < dim; i += kWarpSize) {
      store_element(args.qkv.type, qkv, column + i, head[i]);
    }
    return;
  }
  const int64_t slot = cache_offset(args.heads, args.cache, sequence, index, position);
  const int64_t value = value_column(args.heads, index);
  for (int i = lane; i < dim; i += kWarpSize) {
    store_element(args.cache.type, args.cache.keys, slot + i, head[i]);
    store_element(args.cache.type, args.cache.values, slot + i,
                  load_element(args.qkv.type, qkv, value + i));
  }
}

}  // namespace

void append_kv(Context& context, const AppendKvArgs& args) {
  if (args.rows.rows == 0) return;
  const ModelConfig& config = *args.config;
  AppendArgs kernel;
  kernel.heads = head_layout(config);
  kernel.sequence = args.rows.sequence;
  kernel.position = args.rows.position;
  kernel.qkv = rows_of(args.qkv);
  kernel.cache = device_cache(args.cache);
  kernel.keys_and_values_only = args.keys_and_values_only;
  kernel.qk_norm = config.qk_norm;
  kernel.epsilon = config.norm_epsilon;
  if (config.qk_norm) {
    kernel.query_gain = context.weights.vector(args.layer->query_norm.gain);
    kernel.key_gain = context.weights.vector(args.layer->key_norm.gain);
  }
  if (config.position == PositionKind::kRope) {
    kernel.frequencies = context.weights.vector(config.rope.inverse_frequencies);
    kernel.pairs = static_cast<int>(config.rope.inverse_frequencies.size());
    kernel.attention_factor = config.rope.attention_factor;
    kernel.interleaved = config.rope.interleaved;
  }
  const int heads = config.num_kv_heads + (args.keys_and_values_only ? 0 : config.num_heads);
  const auto groups = static_cast<unsigned>((heads + kWarps - 1) / kWarps);
  const size_t shared = static_cast<size_t>(2 * kernel.pairs + kWarps * config.head_dim);
  launch(append_kv_kernel,
         {.grid = dim3(static_cast<unsigned>(args.rows.rows), groups),
          .block = dim3(kWarps * kWarpSize),
          .shared_bytes = shared * sizeof(float),
          .overlap_previous = true},
         context.stream, kernel);
}

}  // namespace skipbench::cuda
