// linear for few rows: each weight is read once, with 16-byte loads, and multiplied with all rows.
// A warp computes kOutputs outputs of kRows rows; a block shares the input, normalised, in shared
// memory. The scheme is that of zeux/calm and ggml's mul_mat_vec, with the norm on the way in.
#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/cuda/linear_args.cuh"
#include "engine/cuda/weight_pieces.cuh"

namespace skipbench::cuda {
namespace {

constexpr int kMaxRows = 8;
constexpr int kSharedFloats = 8192;  // of input in shared memory: 32 KiB, 7 blocks on an SM
constexpr int kBlockWarps = 8;

// Outputs of a warp, and how many 16-byte loads of each are in flight at a time. Eight rows of
// quantised weights with four outputs would need more than the 128 registers of two blocks per SM.
template <DType kType, int kRows>
constexpr int kOutputsOf = kRows <= 2 || (kRows == kMaxRows && is_quantised(kType)) ? 2 : 4;
template <int kRows>
constexpr int kUnrollOf = kRows <= 2 ? 4 : 1;

// Where a float of the input stands in shared memory: `lane` and `piece` of a group of
// 32 * kPerLoad columns, so that the lanes of a warp read consecutive float4.
template <int kPerLoad>
__device__ __forceinline__ int staged_column(int four) {
  constexpr int kPieces = kPerLoad / 4;
  const int group = four / (kWarpSize * kPieces);
  const int piece = four / kWarpSize % kPieces;
  const int lane = four % kWarpSize;
  return (group * kWarpSize + lane) * kPerLoad + piece * 4;
}

// The norm's sums, kRows values per warp, and its statistics.
template <int kRows>
struct NormShared {
  float partial[kRows * kBlockWarps];
  float shift[kRows];
  float factor[kRows];
};

template <int kRows>
__device__ __forceinline__ void share_statistics(const FewRowsArgs& args, int first_row, int rows,
                                                 NormShared<kRows>& shared) {
  float shift[kRows];
  float factor[kRows];
  row_statistics<kRows>(args.norm, args.in, first_row, rows, args.k, shared.partial, shift, factor);
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    shared.shift[r] = shift[r];
    shared.factor[r] = factor[r];
  }
}

// Columns [begin, begin + count) of the block's rows as f32, normalised, zeros beyond k.
template <int kPerLoad, int kRows>
__device__ __forceinline__ void stage_input(const FewRowsArgs& args, int64_t first_row, int rows,
                                            const NormShared<kRows>& norm, int begin, int count,
                                            int row_floats, float* x) {
  for (int r = 0; r < kRows; ++r) {
    for (int four = static_cast<int>(threadIdx.x); four < count / 4;
         four += static_cast<int>(blockDim.x)) {
      const int column = begin + staged_column<kPerLoad>(four);
      float4 value = {0, 0, 0, 0};
      if (r < rows) {
        value = load_four(args.in.type, row_of(args.in, first_row + r), column, args.k);
        if (args.norm.on) {
          value = normalise_four(args.norm, value, norm.shift[r], norm.factor[r], column, args.k);
        }
      }
      *reinterpret_cast<float4*>(x + r * row_floats + four * 4) = value;
    }
  }
}

// sums[r * kOutputs + o] += weights of pieces kPiece .. of one load times their inputs.
template <DType kType, int kRows, int kOutputs, int kPiece = 0>
__device__ __forceinline__ void multiply(const uint4 (&raw)[kOutputs],
                                         const BlockScale (&scale)[kOutputs], const float* x,
                                         int row_floats, float (&sums)[kRows * kOutputs]) {
  using Pieces = WeightPieces<kType>;
  float4 in[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    in[r] = *reinterpret_cast<const float4*>(x + r * row_floats + kPiece * 4 * kWarpSize);
  }
#pragma unroll
  for (int o = 0; o < kOutputs; ++o) {
    float weight[4];
    Pieces::template decode<kPiece>(raw[o], scale[o], weight);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float& sum = sums[r * kOutputs + o];
      sum = fmaf(weight[0], in[r].x, sum);
      sum = fmaf(weight[1], in[r].y, sum);
      sum = fmaf(weight[2], in[r].z, sum);
      sum = fmaf(weight[3], in[r].w, sum);
    }
  }
  if constexpr (kPiece + 1 < Pieces::kPerLoad / 4) {
    if constexpr (kRows == kMaxRows) ptx::keep_order();
    multiply<kType, kRows, kOutputs, kPiece + 1>(raw, scale, x, row_floats, sums);
  }
}

// Columns [begin, begin + count) of the warp's weights times the staged input `x`.
template <DType kType, int kRows, int kOutputs>
__device__ __forceinline__ void multiply_chunk(const WeightRow (&weights)[kOutputs], int begin,
                                               int count, int k, const float* x, int row_floats,
                                               float (&sums)[kRows * kOutputs]) {
  using Pieces = WeightPieces<kType>;
  constexpr int kUnroll = kUnrollOf<kRows>;
  constexpr int kGroup = kWarpSize * Pieces::kPerLoad;
  const int lane = lane_index();
  for (int first = 0; first < count; first += kUnroll * kGroup) {
    uint4 raw[kUnroll][kOutputs];
    BlockScale scale[kUnroll][kOutputs];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int column = begin + first + u * kGroup + lane * Pieces::kPerLoad;
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) {
        raw[u][o] = {0, 0, 0, 0};
        if (column < k && first + u * kGroup < count) {
          raw[u][o] = ptx::load_once(weights[o].data + column / Pieces::kPerLoad * 16);
          scale[u][o] = Pieces::scale(weights[o].scales, column);
        }
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (first + u * kGroup >= count) break;
      multiply<kType, kRows, kOutputs>(raw[u], scale[u], x + first + u * kGroup + lane * 4,
                                       row_floats, sums);
    }
  }
}

template <DType kType, int kRows>
__global__ void __launch_bounds__(kBlockWarps* kWarpSize, 2)
    linear_decode_kernel(FewRowsArgs args, int chunk) {
  ptx::let_next_start();
  ptx::wait_for_previous();
  constexpr int kOutputs = kOutputsOf<kType, kRows>;
  constexpr int kPerLoad = WeightPieces<kType>::kPerLoad;
  constexpr int kGroup = kWarpSize * kPerLoad;
  float* x = dynamic_shared<float>();  // [kRows, chunk]
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kRows;
  const int rows = static_cast<int>(min(static_cast<int64_t>(kRows), args.rows - first_row));
  const bool gated = args.end.epilogue == Epilogue::kGated;

  // For kGated even outputs of a warp are gates and odd ones their ups.
  const int64_t warp = static_cast<int64_t>(blockIdx.x) * warps_in_block() + warp_index();
  const int64_t first_output = warp * (gated ? kOutputs / 2 : kOutputs);
  WeightRow weights[kOutputs];
#pragma unroll
  for (int o = 0; o < kOutputs; ++o) {
    int64_t column = first_output + (gated ? o / 2 : o);
    column = min(column, args.end.n - 1);  // surplus outputs repeat the last one and store nothing
    weights[o] = weight_row(args, gated && o % 2 == 1 ? args.end.n + column : column);
  }

  auto& statistics = block_shared<NormShared<kRows>>();
  if (args.norm.on) share_statistics<kRows>(args, first_row, rows, statistics);
  float sums[kRows * kOutputs] = {};
  for (int begin = 0; begin < args.k; begin += chunk) {
    const int left = (args.k - begin + kGroup - 1) / kGroup * kGroup;
    const int count = min(chunk, left);
    __syncthreads();  // the chunk before is no longer read; the statistics are there
    stage_input<kPerLoad, kRows>(args, first_row, rows, statistics, begin, count, chunk, x);
    __syncthreads();
    multiply_chunk<kType, kRows, kOutputs>(weights, begin, count, args.k, x, chunk, sums);
  }

  constexpr int kSums = kRows * kOutputs;
  constexpr int kLanesPerSum = kWarpSize / kSums;
  const int lane = lane_index();
  const float sum = warp_sum_spread<kSums>(sums, lane);
  const float up = __shfl_xor_sync(kFullWarp, sum, kLanesPerSum);  // output o ^ 1 of the same row
  const int index = lane / kLanesPerSum;
  const int output = index % kOutputs;
  const int row = index / kOutputs;
  const int64_t column = first_output + (gated ? output / 2 : output);
  if (lane % kLanesPerSum != 0 || row >= rows || column >= args.end.n) return;
  if (gated && output % 2 == 1) return;
  finish_output(args.end, first_row + row, column, sum, up);
}

template <DType kType, int kRows>
void launch_decode(Context& context, const FewRowsArgs& args) {
  constexpr int kOutputs = kOutputsOf<kType, kRows>;
  constexpr int kGroup = kWarpSize * WeightPieces<kType>::kPerLoad;
  const int groups = (args.k + kGroup - 1) / kGroup;
  const int chunk = std::min(groups, kSharedFloats / kRows / kGroup) * kGroup;
  const bool gated = args.end.epilogue == Epilogue::kGated;
  const int64_t per_warp = gated ? kOutputs / 2 : kOutputs;
  const int64_t warps = (args.end.n + per_warp - 1) / per_warp;
  // Smaller blocks where eight warps each would leave multiprocessors without work.
  int block_warps = kBlockWarps;
  while (block_warps > 2 && warps / block_warps < 2 * context.multiprocessors) block_warps /= 2;
  const auto blocks = static_cast<unsigned>((warps + block_warps - 1) / block_warps);
  const auto row_tiles = static_cast<unsigned>((args.rows + kRows - 1) / kRows);
  launch(linear_decode_kernel<kType, kRows>,
         {.grid = dim3(blocks, row_tiles),
          .block = dim3(static_cast<unsigned>(block_warps * kWarpSize)),
          .shared_bytes = static_cast<size_t>(kRows) * static_cast<size_t>(chunk) * sizeof(float),
          .overlap_previous = true},
         context.stream, args, chunk);
}

void launch_for_type(Context& context, const FewRowsArgs& args) {
  with_weight_type(args.parts[0].type, [&](auto type) {
    if (args.rows == 1) return launch_decode<type(), 1>(context, args);
    if (args.rows == 2) return launch_decode<type(), 2>(context, args);
    if (args.rows <= 4) return launch_decode<type(), 4>(context, args);
    return launch_decode<type(), kMaxRows>(context, args);
  });
}

bool same_types(const Projection& projection) {
  return std::all_of(projection.parts.begin(), projection.parts.end(), [&](const Weight& part) {
    return part.type == projection.parts.front().type;
  });
}

}  // namespace

// Beyond 8 rows the kernel reads the weights once per 8 rows. For quantised weights that is still
// less than decoding them to 16 bits, writing and reading those: at 0.6 to 1.1 bytes per weight
// against 4.6 to 5.1, up to 32 rows.
bool linear_decode_takes(const LinearArgs& args) {
  const Projection& projection = *args.projection;
  const bool quantised = std::any_of(projection.parts.begin(), projection.parts.end(),
                                     [](const Weight& part) { return is_quantised(part.type); });
  if (args.in.rows > (quantised ? 32 : kMaxRows)) return false;
  if (projection.parts.size() > kMaxParts) return false;
  return args.epilogue != Epilogue::kGated || same_types(projection);
}

void linear_decode(Context& context, const LinearArgs& args) {
  const Projection& projection = *args.projection;
  assert(projection.cols() == args.in.cols);
  if (same_types(projection)) return launch_for_type(context, few_rows_args(context, args));
  // Parts of several types: one launch each, on its own columns.
  FewRowsArgs kernel = few_rows_args_without_parts(context, args);
  const LinearEnd whole = kernel.end;
  int64_t column = 0;
  for (const Weight& part : projection.parts) {
    kernel.parts[0] = context.weights.matrix(part);
    kernel.num_parts = 1;
    kernel.end = whole;
    kernel.end.n = part.rows;
    if (whole.bias != nullptr) kernel.end.bias += column;
    if (whole.residual.data != nullptr) {
      kernel.end.residual.data += column * block_bytes(whole.residual.type);
    }
    kernel.end.out.data += column * block_bytes(whole.out.type);
    launch_for_type(context, kernel);
    column += part.rows;
  }
}

}  // namespace skipbench::cuda
