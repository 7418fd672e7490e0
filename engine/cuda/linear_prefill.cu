// linear for many rows: normalised input, products through gemm.h in f32, then one kernel for bias,
// activation, residual and rounding. Weights that the product cannot read as they are (quantised,
// or of another type than the activations) are decoded a panel of outputs at a time.
#include <algorithm>
#include <cassert>

#include "engine/cuda/linear_args.cuh"
#include "engine/cuda/weight_pieces.cuh"

namespace skipbench::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr int64_t kPanelBytes = int64_t{64} << 20;  // of decoded weights at a time
constexpr int64_t kSumBytes = int64_t{256} << 20;   // of f32 products at a time

// Rows of `in` in another type.
__global__ void convert_kernel(Rows in, Rows out, int64_t cols) {
  const std::byte* from = row_of(in, blockIdx.x);
  std::byte* to = row_of(out, blockIdx.x);
  for (int64_t c = threadIdx.x; c < cols; c += blockDim.x) {
    store_element(out.type, to, c, load_element(in.type, from, c));
  }
}

// Rows of a weight as plain elements.
template <DType kType>
__global__ void decode_kernel(DeviceMatrix weight, Rows out) {
  const int64_t row = blockIdx.x;
  std::byte* to = row_of(out, row);
  for (int64_t c = threadIdx.x; c < weight.cols; c += blockDim.x) {
    store_element(out.type, to, c, weight_at<kType>(weight, row, c));
  }
}

// Columns [begin, begin + count) of the operation's result; sums [rows, sum_stride], for kGated
// gates from column 0 on and ups from `count` on.
__global__ void finish_kernel(LinearEnd end, const float* sums, int64_t sum_stride, int64_t begin,
                              int64_t count) {
  const int64_t row = blockIdx.x;
  const float* from = sums + row * sum_stride;
  const bool gated = end.epilogue == Epilogue::kGated;
  for (int64_t i = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x; i < count;
       i += static_cast<int64_t>(gridDim.y) * blockDim.x) {
    finish_output(end, row, begin + i, from[i], gated ? from[count + i] : 0.0f);
  }
}

// The type that products are computed in. Quantised weights are rounded to the activations' type,
// an error of the size of the activations' own: f32 products would do without tensor cores.
// linear_decode has them exactly. Two different half types meet in f32, where both are exact.
DType product_type(const Projection& projection, DType activations) {
  for (const Weight& part : projection.parts) {
    if (!is_quantised(part.type) && part.type != activations) return DType::kF32;
  }
  return activations;
}

// The input as the product wants it: normalised, in `type`, rows at multiples of 16 bytes.
Rows prepare_input(Context& context, const LinearArgs& args, DType type, int64_t stride) {
  const Rows in = rows_of(args.in);
  const bool aligned =
      reinterpret_cast<uintptr_t>(in.data) % 16 == 0 && in.stride * block_bytes(in.type) % 16 == 0;
  if (args.norm.weights == nullptr && in.type == type && aligned) return in;
  auto* memory =
      context.scratch<std::byte>(Slot::kNormed, args.in.rows * stride * block_bytes(type));
  const Rows out = {memory, type, stride};
  if (args.norm.weights != nullptr) {
    Matrix to{memory, type, args.in.rows, args.in.cols, stride};
    norm(context, {args.norm.kind, args.norm.epsilon, args.norm.weights, args.in, to});
  } else {
    launch(convert_kernel,
           {.grid = dim3(static_cast<unsigned>(args.in.rows)), .block = dim3(kThreads)},
           context.stream, in, out, args.in.cols);
  }
  return out;
}

// What one call shares.
struct Product {
  Context& context;
  const LinearArgs& args;
  DType type;
  Rows in;
  int64_t panel_stride;  // elements
};

// sums[:, 0 .. count) = in * rows [begin, begin + count) of the projection, part by part.
void multiply_rows(const Product& product, int64_t begin, int64_t count, float* sums,
                   int64_t sum_stride) {
  Context& context = product.context;
  int64_t part_begin = 0;
  for (const Weight& part : product.args.projection->parts) {
    const int64_t first = std::max(begin, part_begin);
    const int64_t last = std::min(begin + count, part_begin + part.rows);
    part_begin += part.rows;
    if (first >= last) continue;
    const DeviceMatrix weight =
        context.weights.matrix(part).from_row(first - (part_begin - part.rows));
    GemmArgs gemm;
    gemm.type = product.type;
    gemm.out_type = DType::kF32;
    gemm.in = product.in.data;
    gemm.weight = weight.data;
    gemm.out = sums + (first - begin);
    gemm.m = product.args.in.rows;
    gemm.n = last - first;
    gemm.k = product.args.in.cols;
    gemm.in_stride = product.in.stride;
    gemm.weight_stride = weight.pitch_bytes / block_bytes(product.type);
    gemm.out_stride = sum_stride;
    if (weight.type != product.type) {
      auto* panel = context.scratch<std::byte>(
          Slot::kPanel, gemm.n * product.panel_stride * block_bytes(product.type));
      with_weight_type(weight.type, [&](auto type) {
        launch(decode_kernel<type()>,
               {.grid = dim3(static_cast<unsigned>(gemm.n)), .block = dim3(kThreads)},
               context.stream, weight, Rows{panel, product.type, product.panel_stride});
      });
      gemm.weight = panel;
      gemm.weight_stride = product.panel_stride;
    }
    context.gemm->run(gemm, context.stream);
  }
}

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

void linear_prefill(Context& context, const LinearArgs& args) {
  const int64_t rows = args.in.rows;
  const int64_t k = args.in.cols;
  assert(args.projection->cols() == k);
  const DType type = product_type(*args.projection, args.in.type);
  const int64_t stride = round_up(k, 8);
  const Product product{context, args, type, prepare_input(context, args, type, stride), stride};
  const LinearEnd end = device_end(context, args);
  const int64_t halves = end.epilogue == Epilogue::kGated ? 2 : 1;

  const int64_t panel_rows = kPanelBytes / (stride * block_bytes(type));
  const int64_t sum_columns = kSumBytes / (rows * halves * static_cast<int64_t>(sizeof(float)));
  const int64_t tile =
      std::min(end.n, std::max<int64_t>(64, std::min(panel_rows, sum_columns) / 64 * 64));
  const int64_t sum_stride = round_up(halves * tile, 4);
  auto* sums = context.scratch<float>(Slot::kSums, rows * sum_stride);
  for (int64_t begin = 0; begin < end.n; begin += tile) {
    const int64_t count = std::min(tile, end.n - begin);
    multiply_rows(product, begin, count, sums, sum_stride);
    if (halves == 2) multiply_rows(product, end.n + begin, count, sums + count, sum_stride);
    const auto column_blocks =
        static_cast<unsigned>(std::min<int64_t>(64, (count + kThreads - 1) / kThreads));
    launch(finish_kernel,
           {.grid = dim3(static_cast<unsigned>(rows), column_blocks), .block = dim3(kThreads)},
           context.stream, end, sums, sum_stride, begin, count);
  }
}

void linear(Context& context, const LinearArgs& args) {
  if (args.in.rows == 0) return;
  if (linear_tensor_takes(context, args)) return linear_tensor(context, args);
  if (linear_decode_takes(args)) return linear_decode(context, args);
  linear_prefill(context, args);
}

}  // namespace skipbench::cuda
