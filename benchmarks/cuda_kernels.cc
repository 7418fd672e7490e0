// cuda_kernels_bench: each operation of the CUDA engine at BLOOMZ-7B1's shapes, timed by CUDA
// events, in GB/s and GFLOP/s and in percent of the peaks that the same process measured.
//
//   cuda_kernels_bench --benchmark_filter=linear/f16 --benchmark_format=json
//   cuda_kernels_bench --device=emulated --shape=tiny      (a build of the preset emulated: runs,
//   and
//                                                          says nothing about speed)
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/backend.h"
#include "engine/base/error.h"

namespace skipbench {
namespace {

// Every working set passes the second-level cache several times over: 50 MB on an H100.
constexpr int64_t kRotatedBytes = int64_t{256} << 20;

struct Shape {
  int64_t hidden = 4096;
  int heads = 32;
  int64_t vocabulary = 250880;
  int64_t rotated_bytes = kRotatedBytes;
  int calls = 20;  // between two events
  std::vector<int64_t> lengths = {128, 1024};
  std::vector<int64_t> prompts = {256, 2048};
  int64_t head_dim() const { return hidden / heads; }
};

Shape tiny_shape() {
  Shape shape;
  shape.hidden = 64;
  shape.heads = 4;
  shape.vocabulary = 199;
  shape.rotated_bytes = 1 << 16;
  shape.calls = 2;
  shape.lengths = {17};
  shape.prompts = {33};
  return shape;
}

class Bench {
 public:
  Bench(std::unique_ptr<Backend> backend, Shape shape)
      : backend_(std::move(backend)), shape_(std::move(shape)) {
    begin_ = backend_->make_mark();
    end_ = backend_->make_mark();
  }

  Backend& backend() { return *backend_; }
  const Shape& shape() const { return shape_; }

  // How many sets of `bytes` an operation must be given in turns.
  int64_t copies(int64_t bytes) const {
    return std::max<int64_t>(2, shape_.rotated_bytes / std::max<int64_t>(1, bytes) + 1);
  }

  // Activations: zeros cost what other numbers cost.
  Matrix matrix(DType type, int64_t rows, int64_t cols) {
    const auto bytes = static_cast<size_t>(bytes_of(type, rows * cols));
    memory_.push_back(backend_->allocate(bytes));
    backend_->fill_zero(memory_.back().get(), bytes);
    return {memory_.back().get(), type, rows, cols, cols};
  }

  const int32_t* indices(const std::vector<int32_t>& values) {
    memory_.push_back(backend_->allocate(values.size() * sizeof(int32_t)));
    backend_->upload(memory_.back().get(), values.data(), values.size() * sizeof(int32_t));
    return static_cast<const int32_t*>(memory_.back().get());
  }

  RowTable decoding_rows(int64_t rows, int64_t position) {
    std::vector<int32_t> token, sequence, positions;
    for (int64_t r = 0; r < rows; ++r) {
      token.push_back(static_cast<int32_t>(7919 * r % shape_.vocabulary));
      sequence.push_back(static_cast<int32_t>(r));
      positions.push_back(static_cast<int32_t>(position));
    }
    return {rows, indices(token), indices(sequence), indices(positions), /*single_rows=*/true};
  }

  // A weight that the device makes; its address is a name that nobody reads.
  Projection weight(DType type, int64_t rows, int64_t cols) {
    Weight out{.name = "random", .type = type, .rows = rows, .cols = cols};
    if (is_quantised(type)) {  // made here, all zeros, which cost what other numbers cost
      zeros_.push_back(std::make_unique<std::byte[]>(static_cast<size_t>(out.bytes())));
      out.data = zeros_.back().get();
    } else {
      out.data = reinterpret_cast<const std::byte*>(next_name_);
      next_name_ += out.bytes();
      out.fill = {out.data, ++stream_, 0.02f};
    }
    return {{out}, {}};
  }

  // Calls `operation` with 0, 1, ... and sets the time of one call by the device's clock.
  void run(benchmark::State& state, double bytes, double flops,
           const std::function<void(int64_t call)>& operation) {
    int64_t call = 0;
    for (int i = 0; i < 3; ++i) operation(call++);
    double seconds = 0;
    for (auto _ : state) {
      begin_->set();
      for (int i = 0; i < shape_.calls; ++i) operation(call++);
      end_->set();
      end_->wait();
      const double one = end_->microseconds_since(*begin_) * 1e-6 / shape_.calls;
      state.SetIterationTime(one);
      seconds += one;
    }
    const double per_second = static_cast<double>(state.iterations()) / seconds;
    state.counters["GB/s"] = bytes * per_second * 1e-9;
    state.counters["GFLOP/s"] = flops * per_second * 1e-9;
    state.counters["%read"] = 100 * bytes * per_second / backend_->peak_read_bytes_per_second();
    state.counters["%flops"] = 100 * flops * per_second / backend_->peak_flops_per_second();
    memory_.clear();
    backend_->forget_weights();
    zeros_.clear();
  }

 private:
  std::unique_ptr<Backend> backend_;
  Shape shape_;
  std::unique_ptr<Mark> begin_, end_;
  std::vector<DeviceBuffer> memory_;
  std::vector<std::unique_ptr<std::byte[]>> zeros_;
  int64_t next_name_ = int64_t{1} << 46;  // beyond any address of the host's
  uint64_t stream_ = 0;
};

Bench* bench = nullptr;

using Body = std::function<void(benchmark::State&)>;

void add(const std::string& name, const Body& body) {
  benchmark::RegisterBenchmark(name.c_str(), body)->UseManualTime()->Unit(benchmark::kMicrosecond);
}

void add_linear(DType type, const std::string& name, int64_t n, int64_t k, int64_t rows) {
  add("linear/" + std::string(dtype_name(type)) + "/" + name + "/" + std::to_string(rows),
      [=](benchmark::State& state) {
        const DType activations = bench->backend().activation_type();
        const auto bytes = static_cast<double>(n * bytes_of(type, k));
        std::vector<Projection> weights;
        const int64_t copies = bench->copies(static_cast<int64_t>(bytes));
        for (int64_t i = 0; i < copies; ++i) weights.push_back(bench->weight(type, n, k));
        LinearArgs args;
        args.in = bench->matrix(activations, rows, k);
        args.out = bench->matrix(activations, rows, n);
        bench->run(state, bytes + static_cast<double>(bytes_of(activations, rows * (n + k))),
                   2.0 * static_cast<double>(rows * n * k), [&](int64_t call) {
                     args.projection = &weights[call % copies];
                     bench->backend().linear(args);
                   });
      });
}

// `length` 0: a prompt of `rows` tokens.
void add_attend(int64_t rows, int64_t length) {
  const bool is_prompt = length == 0;
  const std::string name =
      is_prompt ? "attend/prompt/" + std::to_string(rows)
                : "attend/decode/" + std::to_string(rows) + "/" + std::to_string(length);
  add(name, [=](benchmark::State& state) {
    const Shape& shape = bench->shape();
    const DType type = bench->backend().activation_type();
    ModelConfig config;
    config.num_heads = config.num_kv_heads = shape.heads;
    config.head_dim = static_cast<int>(shape.head_dim());
    config.attention_scale = 1 / std::sqrt(static_cast<double>(shape.head_dim()));
    config.position = PositionKind::kAlibi;
    const int64_t sequences = is_prompt ? 1 : rows;
    const int64_t capacity = is_prompt ? rows : length;
    const int64_t slots = sequences * capacity * shape.hidden;
    const auto bytes = static_cast<double>(2 * bytes_of(type, slots));
    const int64_t copies = bench->copies(static_cast<int64_t>(bytes));
    AttendArgs args;
    args.config = &config;
    std::vector<KvView> caches;
    for (int64_t i = 0; i < copies; ++i) {
      caches.push_back({bench->matrix(type, 1, slots).data, bench->matrix(type, 1, slots).data,
                        type, capacity, nullptr});
    }
    if (is_prompt) {
      std::vector<int32_t> zeros(rows, 0), places;
      for (int64_t r = 0; r < rows; ++r) places.push_back(static_cast<int32_t>(r));
      args.rows = {rows, bench->indices(zeros), bench->indices(zeros), bench->indices(places)};
    } else {
      args.rows = bench->decoding_rows(rows, length - 1);
    }
    args.qkv = bench->matrix(type, rows, config.qkv_rows());
    args.out = bench->matrix(type, rows, shape.hidden);
    const double positions = is_prompt ? 0.5 * static_cast<double>(rows * (rows + 1))
                                       : static_cast<double>(rows * length);
    bench->run(state, bytes, 4.0 * static_cast<double>(shape.hidden) * positions,
               [&](int64_t call) {
                 args.cache = caches[call % copies];
                 bench->backend().attend(args);
               });
  });
}

void add_append_kv(int64_t rows) {
  add("append_kv/" + std::to_string(rows), [=](benchmark::State& state) {
    const Shape& shape = bench->shape();
    const DType type = bench->backend().activation_type();
    ModelConfig config;
    config.num_heads = config.num_kv_heads = shape.heads;
    config.head_dim = static_cast<int>(shape.head_dim());
    config.position = PositionKind::kAlibi;
    const LayerWeights layer;
    const int64_t capacity = shape.lengths.front();
    const int64_t slots = rows * capacity * shape.hidden;
    AppendKvArgs args{.config = &config, .layer = &layer};
    args.rows = bench->decoding_rows(rows, capacity - 1);
    args.qkv = bench->matrix(type, rows, config.qkv_rows());
    args.cache = {bench->matrix(type, 1, slots).data, bench->matrix(type, 1, slots).data, type,
                  capacity, nullptr};
    // Query, key and value read, query, key and value written.
    bench->run(state, 2.0 * static_cast<double>(bytes_of(type, rows * 3 * shape.hidden)), 0,
               [&](int64_t) { bench->backend().append_kv(args); });
  });
}

void add_rows_operations(int64_t rows) {
  const std::string suffix = "/" + std::to_string(rows);
  add("norm" + suffix, [=](benchmark::State& state) {
    const int64_t hidden = bench->shape().hidden;
    const DType type = bench->backend().activation_type();
    const NormWeights weights{Vector(hidden, 1.0f), Vector(hidden, 0.0f)};
    NormArgs args{.kind = NormKind::kLayerNorm, .epsilon = 1e-5, .weights = &weights};
    args.in = bench->matrix(type, rows, hidden);
    args.out = bench->matrix(type, rows, hidden);
    bench->run(state, 2.0 * static_cast<double>(bytes_of(type, rows * hidden)), 0,
               [&](int64_t) { bench->backend().norm(args); });
  });
  add("embed" + suffix, [=](benchmark::State& state) {
    const Shape& shape = bench->shape();
    const DType type = bench->backend().activation_type();
    const Projection table = bench->weight(type, shape.vocabulary, shape.hidden);
    EmbedArgs args{.rows = bench->decoding_rows(rows, 0), .embedding = &table.parts[0]};
    args.out = bench->matrix(type, rows, shape.hidden);
    bench->run(state, 2.0 * static_cast<double>(bytes_of(type, rows * shape.hidden)), 0,
               [&](int64_t) { bench->backend().embed(args); });
  });
  add("gather_rows" + suffix, [=](benchmark::State& state) {
    const int64_t hidden = bench->shape().hidden;
    const DType type = bench->backend().activation_type();
    GatherRowsArgs args{.in = bench->matrix(type, rows, hidden),
                        .index = bench->decoding_rows(rows, 0).sequence,
                        .out = bench->matrix(type, rows, hidden)};
    bench->run(state, 2.0 * static_cast<double>(bytes_of(type, rows * hidden)), 0,
               [&](int64_t) { bench->backend().gather_rows(args); });
  });
  add("cosine" + suffix, [=](benchmark::State& state) {
    const int64_t hidden = bench->shape().hidden;
    const DType type = bench->backend().activation_type();
    const CosineArgs args{.a = bench->matrix(type, rows, hidden),
                          .b = bench->matrix(type, rows, hidden),
                          .out = static_cast<double*>(bench->matrix(DType::kF32, rows, 2).data)};
    bench->run(state, 2.0 * static_cast<double>(bytes_of(type, rows * hidden)), 0,
               [&](int64_t) { bench->backend().cosine(args); });
  });
  add("scale" + suffix, [=](benchmark::State& state) {
    const int64_t hidden = bench->shape().hidden;
    const DType type = bench->backend().activation_type();
    const ScaleArgs args{.rows = bench->matrix(type, rows, hidden), .factor = 1.0f};
    bench->run(state, 2.0 * static_cast<double>(bytes_of(type, rows * hidden)), 0,
               [&](int64_t) { bench->backend().scale(args); });
  });
}

void add_token_operations(int64_t rows) {
  const std::string suffix = "/" + std::to_string(rows);
  add("next_token" + suffix, [=](benchmark::State& state) {
    const Matrix logits = bench->matrix(DType::kF32, rows, bench->shape().vocabulary);
    auto* out = static_cast<NextToken*>(bench->matrix(DType::kF32, rows, 6).data);
    bench->run(state, 4.0 * static_cast<double>(rows * logits.cols), 0, [&](int64_t) {
      bench->backend().next_token({logits, /*with_entropy=*/false, out});
    });
  });
  for (const int top_k : {0, 50}) {
    add("sample" + suffix + "/top_k:" + std::to_string(top_k), [=](benchmark::State& state) {
      const Matrix logits = bench->matrix(DType::kF32, rows, bench->shape().vocabulary);
      auto* out = static_cast<NextToken*>(bench->matrix(DType::kF32, rows, 6).data);
      const RowTable table = bench->decoding_rows(rows, 0);
      bench->run(state, 4.0 * static_cast<double>(rows * logits.cols), 0, [&](int64_t) {
        bench->backend().sample({logits, {1.0, top_k, 1}, table.sequence, table.position, out});
      });
    });
  }
  add("log_prob" + suffix, [=](benchmark::State& state) {
    const Matrix logits = bench->matrix(DType::kF32, rows, bench->shape().vocabulary);
    auto* out = static_cast<double*>(bench->matrix(DType::kF32, rows, 2).data);
    const int32_t* target = bench->decoding_rows(rows, 0).token;
    bench->run(state, 4.0 * static_cast<double>(rows * logits.cols), 0, [&](int64_t) {
      bench->backend().log_prob({logits, target, out});
    });
  });
  add("advance" + suffix, [=](benchmark::State& state) {
    const auto array = [&](int64_t count) {
      return static_cast<int32_t*>(bench->matrix(DType::kF32, 1, count).data);
    };
    const DeviceBuffer ring = bench->backend().allocate_shared(4 * rows * sizeof(StepResult));
    const AdvanceArgs args{
        .rows = rows,
        .next = reinterpret_cast<const NextToken*>(array(6 * rows)),
        .token = array(rows),
        .position = array(rows),
        .finished = array(rows),
        .step = array(rows),
        .results = static_cast<StepResult*>(ring.get()),
        .slots = 4,
    };
    bench->run(state, 0, 0, [&](int64_t) { bench->backend().advance(args); });
  });
}

void register_all() {
  const Shape& shape = bench->shape();
  const int64_t h = shape.hidden;
  const DType f16 = bench->backend().activation_type();
  for (const DType type : {f16, DType::kQ8_0, DType::kQ4_1}) {
    for (const int64_t rows : {1, 2, 8, 32}) {
      add_linear(type, "qkv", 3 * h, h, rows);
      add_linear(type, "out", h, h, rows);
      add_linear(type, "up", 4 * h, h, rows);
      add_linear(type, "down", h, 4 * h, rows);
      if (type == f16) add_linear(type, "head", shape.vocabulary, h, rows);
    }
    for (const int64_t rows : shape.prompts) add_linear(type, "up", 4 * h, h, rows);
  }
  for (const int64_t rows : {1, 8, 32}) {
    for (const int64_t length : shape.lengths) add_attend(rows, length);
    add_append_kv(rows);
    add_rows_operations(rows);
    add_token_operations(rows);
  }
  for (const int64_t rows : shape.prompts) add_attend(rows, 0);
}

// Takes --NAME=VALUE out of the arguments.
std::string take_option(int& argc, char** argv, std::string_view name, std::string value) {
  const std::string prefix = "--" + std::string(name) + "=";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(prefix)) {
      value = argument.substr(prefix.size());
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return value;
}

int run(int argc, char** argv) {
  const std::string device = take_option(argc, argv, "device", "cuda");
  const bool is_tiny = take_option(argc, argv, "shape", "bloomz-7b1") == "tiny";
  Bench the_bench(make_backend({.device = device, .dtype = DType::kF16}),
                  is_tiny ? tiny_shape() : Shape());
  bench = &the_bench;
  Backend& on = the_bench.backend();
  std::fprintf(stderr, "%s, %s: %.1f GB/s read, %.1f GFLOP/s\n", on.device_name().c_str(),
               on.instruction_set().c_str(), on.peak_read_bytes_per_second() * 1e-9,
               on.peak_flops_per_second() * 1e-9);
  benchmark::AddCustomContext("device", on.device_name());
  benchmark::AddCustomContext("peak_read_bytes_per_second",
                              std::to_string(on.peak_read_bytes_per_second()));
  benchmark::AddCustomContext("peak_flops_per_second", std::to_string(on.peak_flops_per_second()));
  register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace skipbench

int main(int argc, char** argv) {
  try {
    return skipbench::run(argc, argv);
  } catch (const skipbench::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
