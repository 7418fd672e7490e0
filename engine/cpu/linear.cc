#include <algorithm>
#include <cassert>

#include "engine/cpu/operations.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/cpu/linear.cc"
// clang-format off
#include "hwy/foreach_target.h"  // must come before highway.h
// clang-format on
#include "engine/cpu/activation-inl.h"
#include "engine/cpu/dot_tile-inl.h"
#include "engine/cpu/norm_row-inl.h"
#include "hwy/highway.h"

#ifndef SKIPBENCH_ENGINE_CPU_LINEAR_ONCE_
#define SKIPBENCH_ENGINE_CPU_LINEAR_ONCE_
namespace skipbench::cpu {
namespace {

constexpr int64_t kTileRows = 8;     // activation rows that share one decoding of the weights
constexpr int64_t kMaxOutputs = 48;  // outputs of a unit: what one thread computes at a time

// What the threads of one call share.
struct LinearTask {
  const LinearArgs* args = nullptr;
  int64_t rows = 0;
  int64_t k = 0;
  int64_t n = 0;             // columns of out
  int64_t unit_outputs = 0;  // columns per unit, at most kMaxOutputs
  // f32 rows [rows, k], normalised where asked for; null: each thread prepares its own copy, which
  // costs less than waiting for another thread where rows are few.
  const float* input = nullptr;
  int64_t input_stride = 0;
  uint64_t call = 0;
};

}  // namespace
}  // namespace skipbench::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace skipbench::cpu {
namespace HWY_NAMESPACE {

static_assert(2 * kMaxOutputs <= kMaxStripOutputs);

// Rows [begin, end) of args.in as f32, normalised, into `out` [rows, k] of stride k.
void prepare_input(const LinearArgs& args, int64_t begin, int64_t end, float* out) {
  const Matrix& in = args.in;
  const int64_t element = block_bytes(in.type);
  for (int64_t r = begin; r < end; ++r) {
    float* row = out + r * in.cols;
    convert_row_to_f32(in.type, bytes_at(in.data, r * in.stride * element), in.cols, row);
    if (args.norm.weights == nullptr) continue;
    norm_row(args.norm.kind, args.norm.epsilon, args.norm.weights->gain.data(),
             data_or_null(args.norm.weights->bias), row, in.cols, row);
  }
}

// Calls fn(part, first row in the part, rows, offset) for the parts that hold the concatenated
// output rows [begin, end); offset counts from `begin`.
template <typename Fn>
void for_parts(const Projection& projection, int64_t begin, int64_t end, Fn&& fn) {
  int64_t part_begin = 0;
  for (const Weight& part : projection.parts) {
    const int64_t first = std::max(begin, part_begin);
    const int64_t last = std::min(end, part_begin + part.rows);
    if (first < last) fn(part, first - part_begin, last - first, first - begin);
    part_begin += part.rows;
  }
}

// Output rows [begin, begin + count) of the projection for up to kTileRows rows x, into
// result[r][0 .. count).
void direct_outputs(const Projection& projection, int64_t begin, int64_t count,
                    const float* const* x, int64_t x_rows, Scratch& scratch, float* const* result) {
  for_parts(projection, begin, begin + count,
            [&](const Weight& part, int64_t first, int64_t rows, int64_t offset) {
              const std::byte* weight_rows[kMaxOutputs];
              const int64_t row_bytes = bytes_of(part.type, part.cols);
              for (int64_t o = 0; o < rows; ++o)
                weight_rows[o] = part.data + (first + o) * row_bytes;
              float* part_result[kTileRows];
              for (int64_t r = 0; r < x_rows; ++r) part_result[r] = result[r] + offset;
              with_row_decoder(part.type, [&](auto decoder) {
                using Row = decltype(decoder);
                auto* space = scratch.get<float>(Slot::kSums, strip_floats(part.cols));
                dot_rows<Row>(weight_rows, rows, x, x_rows, part.cols, space, part_result);
              });
            });
}

// Output rows [begin, begin + count) decoded to f32: panel [count, k].
void decode_panel(const Projection& projection, int64_t begin, int64_t count, float* panel) {
  for_parts(projection, begin, begin + count,
            [&](const Weight& part, int64_t first, int64_t rows, int64_t offset) {
              const int64_t row_bytes = bytes_of(part.type, part.cols);
              with_row_decoder(part.type, [&](auto decoder) {
                for (int64_t o = 0; o < rows; ++o) {
                  decode_row<decltype(decoder)>(part.data + (first + o) * row_bytes, part.cols,
                                                panel + (offset + o) * part.cols);
                }
              });
            });
}

// Bias, activation, residual and the one rounding, for columns [begin, begin + count) of one row.
// y holds the sums of these columns, gated_y those of the second half (kGated).
void finish_row(const LinearTask& task, int64_t row, int64_t begin, int64_t count, const float* y,
                const float* gated_y) {
  const LinearArgs& args = *task.args;
  const float* bias = data_or_null(args.projection->bias);
  const Matrix& residual = args.residual;
  const int64_t out_element = block_bytes(args.out.type);
  std::byte* out = bytes_at(args.out.data, (row * args.out.stride + begin) * out_element);
  const int64_t residual_element = block_bytes(residual.type);
  const std::byte* added =
      residual.data == nullptr
          ? nullptr
          : bytes_at(residual.data, (row * residual.stride + begin) * residual_element);
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t n = count - i;
    VF value = load_some(DType::kF32, y + i, n);
    if (bias != nullptr) value = hn::Add(value, load_some(DType::kF32, bias + begin + i, n));
    if (args.epilogue != Epilogue::kNone) value = activate(args.activation, value);
    if (args.epilogue == Epilogue::kGated) {
      VF up = load_some(DType::kF32, gated_y + i, n);
      if (bias != nullptr) up = hn::Add(up, load_some(DType::kF32, bias + task.n + begin + i, n));
      value = hn::Mul(value, up);
    }
    if (added != nullptr) {
      value = hn::Add(value, load_some(residual.type, added + i * residual_element, n));
    }
    store_some(args.out.type, value, out + i * out_element, n);
  }
}

// Columns [begin, begin + count) of all rows.
void linear_unit(const LinearTask& task, const float* input, int64_t input_stride, Scratch& scratch,
                 int64_t begin, int64_t count) {
  const Projection& projection = *task.args->projection;
  const bool gated = task.args->epilogue == Epilogue::kGated;
  // With more rows than one tile the weights are decoded once into a panel.
  const bool use_panel = task.rows > kTileRows;
  float* panel = nullptr;
  if (use_panel) {
    panel = scratch.get<float>(Slot::kPanel, 2 * kMaxOutputs * task.k);
    decode_panel(projection, begin, count, panel);
    if (gated) decode_panel(projection, task.n + begin, count, panel + count * task.k);
  }
  const std::byte* panel_rows[2 * kMaxOutputs];
  const int64_t halves = gated ? 2 : 1;
  if (use_panel) {
    for (int64_t o = 0; o < halves * count; ++o) {
      panel_rows[o] = reinterpret_cast<const std::byte*>(panel + o * task.k);
    }
  }
  alignas(kAlignment) float y[kTileRows][2 * kMaxOutputs];
  for (int64_t first = 0; first < task.rows; first += kTileRows) {
    const int64_t rows = std::min(kTileRows, task.rows - first);
    const float* x[kTileRows];
    float* result[kTileRows];
    float* gated_result[kTileRows];
    for (int64_t r = 0; r < rows; ++r) {
      x[r] = input + (first + r) * input_stride;
      result[r] = y[r];
      gated_result[r] = y[r] + count;
    }
    if (use_panel) {
      dot_rows<PlainRow<DType::kF32>>(panel_rows, halves * count, x, rows, task.k,
                                      scratch.get<float>(Slot::kSums, strip_floats(task.k)),
                                      result);
    } else {
      direct_outputs(projection, begin, count, x, rows, scratch, result);
      if (gated) {
        direct_outputs(projection, task.n + begin, count, x, rows, scratch, gated_result);
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      finish_row(task, first + r, begin, count, y[r], y[r] + count);
    }
  }
}

void linear_units(const LinearTask& task, Scratch& scratch, int64_t begin, int64_t end) {
  const float* input = task.input;
  int64_t stride = task.input_stride;
  if (input == nullptr) {
    float* rows = scratch.get<float>(Slot::kInput, task.rows * task.k);
    if (scratch.prepared_call != task.call) prepare_input(*task.args, 0, task.rows, rows);
    scratch.prepared_call = task.call;
    input = rows;
    stride = task.k;
  }
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t first = unit * task.unit_outputs;
    linear_unit(task, input, stride, scratch, first, std::min(task.unit_outputs, task.n - first));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace skipbench::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skipbench::cpu {
namespace {

HWY_EXPORT(prepare_input);
HWY_EXPORT(linear_units);

// Below this many elements each thread prepares the rows for itself.
constexpr int64_t kRedundantElements = 8 * 1024;

}  // namespace

void linear(Context& context, const LinearArgs& args) {
  const Projection& projection = *args.projection;
  LinearTask task;
  task.args = &args;
  task.rows = args.in.rows;
  task.k = projection.cols();
  task.n = args.epilogue == Epilogue::kGated ? projection.rows() / 2 : projection.rows();
  task.call = ++context.linear_calls;
  assert(args.in.cols == task.k && args.out.cols == task.n && args.out.rows == task.rows);

  const bool as_it_is = args.in.type == DType::kF32 && args.norm.weights == nullptr;
  if (as_it_is) {
    task.input = static_cast<const float*>(args.in.data);
    task.input_stride = args.in.stride;
  } else if (task.rows * task.k > kRedundantElements) {
    float* rows = context.shared_scratch.get<float>(Slot::kInput, task.rows * task.k);
    context.pool.parallel_for(task.rows, 1, [&](int64_t begin, int64_t end, int) {
      HWY_DYNAMIC_DISPATCH(prepare_input)(args, begin, end, rows);
    });
    task.input = rows;
    task.input_stride = task.k;
  }

  // A few units per thread, of whole tiles; larger ones re-use a panel's rows from the cache
  // better.
  constexpr int64_t kGranule = 8;
  const int64_t share = task.n / (4 * context.pool.threads());
  task.unit_outputs =
      std::clamp((share + kGranule - 1) / kGranule * kGranule, kGranule, kMaxOutputs);
  const int64_t units = (task.n + task.unit_outputs - 1) / task.unit_outputs;
  context.pool.parallel_for(units, 1, [&](int64_t begin, int64_t end, int thread) {
    HWY_DYNAMIC_DISPATCH(linear_units)(task, context.thread_scratch[thread], begin, end);
  });
}

}  // namespace skipbench::cpu
#endif  // HWY_ONCE
