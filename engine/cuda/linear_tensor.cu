// linear for few rows of half-precision weights on the tensor cores: each weight is read once, with
// 16-byte loads, straight into the fragments of mma.m16n8k16: weights are its b (8 outputs by 16
// columns), rows of the input its a (16 rows). The sum over k has no order of its own, so a lane's
// fragments may hold any columns as long as weights and input agree: lane t of a row takes the
// eight columns 8 t .. 8 t + 7 of every 32, one load for two products.
//
// A block takes tiles of 16 or 32 outputs in turns, its warps share k (of n warps each takes every
// n-th step of 32 columns), and shared memory joins their sums. Loads of the next steps, also
// across tiles, are under way while products are made; the first of them before the launch ahead
// has ended. An output's order of additions depends on k alone: a row has the same bits in every
// batch.
#include <algorithm>
#include <cassert>

#include "engine/cuda/linear_tensor_input.cuh"

namespace skipbench::cuda {
namespace {

constexpr int kMostWarps = 8;
constexpr int kMaxAhead = 4;
constexpr int64_t kMaxStagedBytes = 96 << 10;  // two blocks of up to 8 rows on sm_90

// A kernel for kEights times eight rows. Few rows have small tiles, so that three blocks fit on a
// multiprocessor: two that work, and one of the next launch that has begun to load.
template <int kEights>
struct Tile {
  static constexpr int kParts = kEights == 1 ? 2 : 4;  // fragments of 8 outputs
  static constexpr int kOutputs = 8 * kParts;
  static constexpr int kRowTiles = (kEights + 1) / 2;   // of one eight, half of a product is zeros
  static constexpr int kAhead = kEights == 1 ? 4 : 2;   // steps of weights in flight per warp
  static constexpr int kBlocks = kEights == 4 ? 1 : 2;  // that work on a multiprocessor
  static constexpr int kSumPitch = kOutputs + 8;        // from one row's sums to the next, floats
  static constexpr int kWarpFloats = 8 * kEights * kSumPitch;
};

struct TensorArgs {
  FewRowsArgs few;
  int tiles = 0;
  int warps = 1;  // of a block
  int steps = 0;  // of a warp and tile, a multiple of kMaxAhead
};

// Weights of one step: row g of each fragment.
template <int kParts>
struct StepWeights {
  uint4 raw[kParts];
};

// This lane's rows of a tile; null beyond the last output.
template <int kParts>
struct TileRows {
  const std::byte* row[kParts];
};

// Weights of output `place` of a tile, null beyond the last: for kGated gates and then their ups.
template <int kOutputs>
__device__ __forceinline__ const std::byte* output_weights(const TensorArgs& args, int tile,
                                                           int place) {
  const bool gated = args.few.end.epilogue == Epilogue::kGated;
  const int n = static_cast<int>(args.few.end.n);
  const int column =
      gated ? tile * (kOutputs / 2) + place % (kOutputs / 2) : tile * kOutputs + place;
  if (tile >= args.tiles || column >= n) return nullptr;
  return weight_row(args.few, gated && place >= kOutputs / 2 ? n + column : column).data;
}

template <int kParts>
__device__ __forceinline__ TileRows<kParts> tile_rows(const TensorArgs& args, int tile) {
  TileRows<kParts> out;
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    out.row[p] = output_weights<8 * kParts>(args, tile, 8 * p + lane_index() / 4);
  }
  return out;
}

// First of this lane's columns in the warp's step number `step`.
__device__ __forceinline__ int step_column(int step) {
  return (step * warps_in_block() + warp_index()) * kStep + lane_index() % 4 * kVector;
}

template <int kParts>
__device__ __forceinline__ void load_step(const TensorArgs& args, const TileRows<kParts>& rows,
                                          int step, StepWeights<kParts>& out) {
  const int column = step_column(step);
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    out.raw[p] = {0, 0, 0, 0};
    if (rows.row[p] != nullptr && column < args.few.k) {
      out.raw[p] = ptx::load_once(rows.row[p] + column * 2);
    }
  }
}

// This lane's part of the input of one step: row g of each eight, zeros for those that do not
// exist.
template <int kEights, bool kStaged>
__device__ __forceinline__ void load_input(const TensorArgs& args, const uint4* staged, int step,
                                           uint4 (&out)[kEights]) {
  const int rows = static_cast<int>(args.few.rows);
  const int column = step_column(step);
#pragma unroll
  for (int e = 0; e < kEights; ++e) {
    const int r = 8 * e + lane_index() / 4;
    out[e] = {0, 0, 0, 0};
    if (r < rows && column < args.few.k) {
      if constexpr (kStaged) {
        out[e] = staged[(column / kStep * rows + r) * 4 + lane_index() % 4];
      } else {
        const int element = r * static_cast<int>(args.few.in.stride) + column;
        out[e] = ptx::load16(args.few.in.data + static_cast<uint32_t>(element) * 2);
      }
    }
  }
}

// Of rows 16 j and on times fragment p, as the product leaves them.
template <int kEights>
struct Sums {
  float of[Tile<kEights>::kRowTiles][Tile<kEights>::kParts][4] = {};
};

// sums.of[j][p] += rows of tile j times weights of fragment p.
template <typename T, int kEights>
__device__ __forceinline__ void multiply_step(const StepWeights<Tile<kEights>::kParts>& weights,
                                              const uint4 (&input)[kEights], Sums<kEights>& sums) {
#pragma unroll
  for (int j = 0; j < Tile<kEights>::kRowTiles; ++j) {
    const uint4 low = input[2 * j];
    uint4 high = {0, 0, 0, 0};
    if constexpr (kEights > 1) high = input[2 * j + 1];
#pragma unroll
    for (int p = 0; p < Tile<kEights>::kParts; ++p) {
      const uint4& weight = weights.raw[p];
      ptx::multiply_16x8x16<T>({low.x, high.x, low.y, high.y}, {weight.x, weight.y}, sums.of[j][p]);
      ptx::multiply_16x8x16<T>({low.z, high.z, low.w, high.w}, {weight.z, weight.w}, sums.of[j][p]);
    }
  }
}

// One warp's sums of a tile: [rows, kSumPitch].
template <int kEights>
__device__ __forceinline__ void share_sums(const Sums<kEights>& sums, float* out) {
  constexpr int kSumPitch = Tile<kEights>::kSumPitch;
  const int row = lane_index() / 4;
  const int output = lane_index() % 4 * 2;
#pragma unroll
  for (int j = 0; j < Tile<kEights>::kRowTiles; ++j) {
#pragma unroll
    for (int p = 0; p < Tile<kEights>::kParts; ++p) {
      float* at = out + (16 * j + row) * kSumPitch + 8 * p + output;
      *reinterpret_cast<float2*>(at) = {sums.of[j][p][0], sums.of[j][p][1]};
      if constexpr (kEights > 1) {
        *reinterpret_cast<float2*>(at + 8 * kSumPitch) = {sums.of[j][p][2], sums.of[j][p][3]};
      }
    }
  }
}

// Joins the warps' sums of a tile and writes its outputs.
template <int kEights>
__device__ __forceinline__ void finish_tile(const TensorArgs& args, int tile, const float* shared) {
  constexpr int kOutputs = Tile<kEights>::kOutputs;
  constexpr int kWarpFloats = Tile<kEights>::kWarpFloats;
  const bool gated = args.few.end.epilogue == Epilogue::kGated;
  const int per_row = gated ? kOutputs / 2 : kOutputs;
  const int count = static_cast<int>(args.few.rows) * per_row;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    const int row = i / per_row;
    const int place = i % per_row;
    const int column = tile * per_row + place;
    if (column >= args.few.end.n) continue;
    const float* at = shared + row * Tile<kEights>::kSumPitch + place;
    float sum = 0;
    float up = 0;
#pragma unroll 4
    for (int w = 0; w < warps_in_block(); ++w) {
      sum += at[w * kWarpFloats];
      if (gated) up += at[w * kWarpFloats + kOutputs / 2];
    }
    finish_output(args.few.end, row, column, sum, up);
  }
}

// Steps whose input is loaded together: two where registers allow it.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
template <int kEights, bool kStaged>
constexpr int kInputsOf = kEights == 1 ? 1 : 2;
#else
template <int kEights, bool kStaged>
constexpr int kInputsOf = kEights == 1 && kStaged ? 1 : 2;
#endif

// kStaged: the input goes through shared memory, normalised where there is a norm.
template <typename T, int kEights, bool kStaged>
__global__ void __launch_bounds__(kMostWarps* kWarpSize, kEights == 1 ? 3 : Tile<kEights>::kBlocks)
    linear_tensor_kernel(TensorArgs args) {
  constexpr int kParts = Tile<kEights>::kParts;
  constexpr int kWarpFloats = Tile<kEights>::kWarpFloats;
  constexpr int kAhead = Tile<kEights>::kAhead;
  constexpr int kInputs = kInputsOf<kEights, kStaged>;
  float* shared_sums = dynamic_shared<float>();  // two tiles' [warps, rows, kSumPitch]
  auto* staged = reinterpret_cast<uint4*>(shared_sums + 2 * warps_in_block() * kWarpFloats);
  ptx::let_next_start();

  int tile = static_cast<int>(blockIdx.x);
  TileRows<kParts> rows = tile_rows<kParts>(args, tile);
  StepWeights<kParts> weights[kAhead];
#pragma unroll
  for (int u = 0; u < kAhead; ++u) load_step(args, rows, u, weights[u]);

  ptx::wait_for_previous();
  if constexpr (kStaged) {
    const bool aligned = is_aligned(args.few.in.data, 16) && args.few.in.stride % kVector == 0;
    auto& statistics = block_shared<RowStatistics>();
    if (args.few.norm.on) {
      tensor_statistics<T>(args.few, aligned, statistics);
      __syncthreads();
    }
    stage_rows<T>(args.few, aligned, statistics, staged);
    __syncthreads();
  }

  for (int turn = 0; tile < args.tiles; ++turn, tile += static_cast<int>(gridDim.x)) {
    Sums<kEights> sums;
#pragma unroll 1
    for (int step = 0; step < args.steps; step += kAhead) {
      int next = step + kAhead;
      if (next == args.steps) {
        rows = tile_rows<kParts>(args, tile + static_cast<int>(gridDim.x));
        next = 0;
      }
#pragma unroll
      for (int u = 0; u < kAhead; u += kInputs) {
        uint4 input[kInputs][kEights];
#pragma unroll
        for (int i = 0; i < kInputs; ++i) {
          load_input<kEights, kStaged>(args, staged, step + u + i, input[i]);
        }
#pragma unroll
        for (int i = 0; i < kInputs; ++i) {
          multiply_step<T, kEights>(weights[u + i], input[i], sums);
          load_step(args, rows, next + u + i, weights[u + i]);
        }
      }
    }
    // Two buffers in turns: nobody writes a tile's sums while the tile before is still read.
    float* buffer = shared_sums + turn % 2 * warps_in_block() * kWarpFloats;
    share_sums<kEights>(sums, buffer + warp_index() * kWarpFloats);
    __syncthreads();
    finish_tile<kEights>(args, tile, buffer);
  }
}

// Rows too many for shared memory, normalised ahead to the same bits. Rows of both begin at
// multiples of 16 bytes.
template <typename T>
__global__ void normalise_kernel(FewRowsArgs args, Rows out) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  const int64_t r = blockIdx.x;
  const std::byte* row = row_of(args.in, r);
  const float2 statistics = warp_statistics<T>(args, row, /*aligned=*/true);
  for (int c = static_cast<int>(threadIdx.x) * kVector; c < args.k;
       c += static_cast<int>(blockDim.x) * kVector) {
    ptx::store16(row_of(out, r) + c * 2,
                 input_vector<T>(args, row, c, /*aligned=*/true, statistics.x, statistics.y));
  }
}

int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

int64_t staged_bytes(const LinearArgs& args) {
  return (args.in.cols + kStep - 1) / kStep * kStep * args.in.rows * 2;
}

int eights_of(int64_t rows) { return rows <= 8 ? 1 : rows <= 16 ? 2 : 4; }

// Of two tiles' sums of a block's warps.
int64_t sum_bytes(int eights, int warps) {
  const int warp_floats = eights == 1   ? Tile<1>::kWarpFloats
                          : eights == 2 ? Tile<2>::kWarpFloats
                                        : Tile<4>::kWarpFloats;
  return int64_t{2} * warps * warp_floats * static_cast<int64_t>(sizeof(float));
}

// Whether the input fits into the shared memory of a block beside its sums.
bool can_stage(const Context& context, const LinearArgs& args) {
  const int64_t left = context.shared_bytes - sum_bytes(eights_of(args.in.rows), kMostWarps) -
                       static_cast<int64_t>(sizeof(RowStatistics));
  return staged_bytes(args) <= std::min(kMaxStagedBytes, left);
}

// Whether lanes can read their part of a row with one load.
bool reads_directly(const LinearArgs& args) {
  return args.in.cols % kVector == 0 && args.in.stride % kVector == 0 &&
         args.in.stride < int64_t{1} << 24 && reinterpret_cast<uintptr_t>(args.in.data) % 16 == 0;
}

template <typename T, int kEights, bool kStaged>
void launch_tensor(Context& context, TensorArgs args, int64_t staged) {
  const int per_tile = args.few.end.epilogue == Epilogue::kGated ? Tile<kEights>::kOutputs / 2
                                                                 : Tile<kEights>::kOutputs;
  args.tiles = static_cast<int>((args.few.end.n + per_tile - 1) / per_tile);
  const auto kernel = linear_tensor_kernel<T, kEights, kStaged>;
  const auto shared = static_cast<size_t>(sum_bytes(kEights, args.warps) + (kStaged ? staged : 0));
  allow_shared_bytes(context.shared_bytes_allowed, kernel, shared);
  const int blocks = std::min(args.tiles, Tile<kEights>::kBlocks * context.multiprocessors);
  launch(kernel,
         {.grid = dim3(static_cast<unsigned>(blocks)),
          .block = dim3(static_cast<unsigned>(args.warps * kWarpSize)),
          .shared_bytes = shared,
          .overlap_previous = true},
         context.stream, args);
}

template <typename T, bool kStaged>
void launch_for_rows(Context& context, const TensorArgs& args, int64_t staged) {
  switch (eights_of(args.few.rows)) {
    case 1:
      return launch_tensor<T, 1, kStaged>(context, args, staged);
    case 2:
      return launch_tensor<T, 2, kStaged>(context, args, staged);
    default:
      launch_tensor<T, 4, kStaged>(context, args, staged);
  }
}

template <typename T>
void launch_for_type(Context& context, const TensorArgs& args, bool is_staged, int64_t staged) {
  if (is_staged) return launch_for_rows<T, true>(context, args, staged);
  launch_for_rows<T, false>(context, args, staged);
}

}  // namespace

bool linear_tensor_takes(const Context& context, const LinearArgs& args) {
  const DType type = args.in.type;
  if (type != DType::kF16 && type != DType::kBF16) return false;
  const Projection& projection = *args.projection;
  if (args.in.rows > kMaxTensorRows || projection.parts.size() > kMaxParts) return false;
  for (const Weight& part : projection.parts) {
    if (part.type != type) return false;
  }
  if (projection.rows() >= int64_t{1} << 30 || args.in.cols >= int64_t{1} << 30) return false;
  return reads_directly(args) || can_stage(context, args);
}

void linear_tensor(Context& context, const LinearArgs& args) {
  TensorArgs kernel;
  const int64_t staged = staged_bytes(args);
  LinearArgs plain = args;
  const bool has_norm = args.norm.weights != nullptr;
  const bool is_staged = (has_norm || !reads_directly(args)) && can_stage(context, args);
  if (has_norm && !is_staged) {      // too many rows for shared memory: normalised ahead
    plain.in.stride = args.in.cols;  // reads_directly holds: a multiple of kVector
    plain.in.data = context.scratch<std::byte>(Slot::kNormed, args.in.rows * plain.in.stride * 2);
    plain.norm = {};
    const FewRowsArgs rows = few_rows_args_without_parts(context, args);
    launch(args.in.type == DType::kF16 ? normalise_kernel<F16> : normalise_kernel<BF16>,
           {.grid = dim3(static_cast<unsigned>(args.in.rows)),
            .block = dim3(kMostWarps * kWarpSize),
            .overlap_previous = true},
           context.stream, rows, rows_of(plain.in));
  }
  kernel.few = few_rows_args(context, plain);
  const int steps = (kernel.few.k + kStep - 1) / kStep;
  kernel.warps = std::clamp((steps + kMaxAhead - 1) / kMaxAhead, 1, kMostWarps);
  kernel.steps = round_up((steps + kernel.warps - 1) / kernel.warps, kMaxAhead);
  if (args.in.type == DType::kF16) {
    return launch_for_type<F16>(context, kernel, is_staged, staged);
  }
  launch_for_type<BF16>(context, kernel, is_staged, staged);
}

}  // namespace skipbench::cuda
