#include <algorithm>
#include <string>

#include "benchmarks/kernels.h"

namespace skipbench::bench {
namespace {

// Weights as a pass over a model meets them: not in the core's own cache, since others were read
// since. So every benchmark cycles through copies of this many bytes together.
constexpr int64_t kWorkingSetBytes = int64_t{64} << 20;

struct LinearShape {
  const char* name;
  int64_t n;
  int64_t k;
  bool gated;
};

constexpr LinearShape kShapes[] = {
    {"qkv", (kHeads + 2 * kKvHeads) * kHeadDim, kHidden, false},
    {"out", kHidden, kHidden, false},
    {"gate_up", 2 * kIntermediate, kHidden, true},
    {"down", kHidden, kIntermediate, false},
    {"head", kVocabulary, kHidden, false},
};

void run_linear(benchmark::State& state, DType type, LinearShape shape, int64_t rows) {
  const int64_t bytes = shape.n * bytes_of(type, shape.k);
  const int64_t copies = std::max<int64_t>(1, kWorkingSetBytes / bytes);
  std::vector<RandomWeight> weights;
  std::vector<Projection> projections;
  for (int64_t i = 0; i < copies; ++i) {
    weights.push_back(random_weight(type, shape.n, shape.k, static_cast<uint32_t>(i + 1)));
    projections.push_back({{weights.back().weight}, {}});
  }
  const RandomMatrix in = random_matrix(rows, shape.k);
  const RandomMatrix out = random_matrix(rows, shape.gated ? shape.n / 2 : shape.n);
  LinearArgs args;
  args.in = in.matrix;
  args.out = out.matrix;
  if (shape.gated) args.epilogue = Epilogue::kGated;
  size_t next = 0;
  const Clock::time_point begin = Clock::now();
  for (auto _ : state) {
    args.projection = &projections[next++ % projections.size()];
    backend().linear(args);
  }
  const double activations = 4.0 * static_cast<double>(rows * (args.in.cols + args.out.cols));
  set_counters(state, begin, static_cast<double>(bytes) + activations,
               2.0 * static_cast<double>(rows * shape.n * shape.k));
}

// The linear operations of one decoding step of the demo model, in its weight types (Q4_1 layers,
// Q8_0 head), with their norms and residuals: 30 layers of their own weights, then the head.
void run_token(benchmark::State& state, int64_t rows) {
  const NormWeights norm{Vector(kHidden, 1.0f), {}};
  std::vector<RandomWeight> weights;
  std::vector<Projection> projections;
  double bytes = 0;
  const auto add = [&](DType type, int64_t n, int64_t k) {
    weights.push_back(random_weight(type, n, k, static_cast<uint32_t>(weights.size() + 1)));
    projections.push_back({{weights.back().weight}, {}});
    bytes += static_cast<double>(weights.back().weight.bytes());
  };
  for (int layer = 0; layer < kLayers; ++layer) {
    for (int i = 0; i < 4; ++i) add(DType::kQ4_1, kShapes[i].n, kShapes[i].k);
  }
  add(DType::kQ8_0, kVocabulary, kHidden);
  const RandomMatrix hidden = random_matrix(rows, kHidden);
  const RandomMatrix heads = random_matrix(rows, kHidden);
  const RandomMatrix qkv = random_matrix(rows, kShapes[0].n);
  const RandomMatrix gated = random_matrix(rows, kIntermediate);
  const RandomMatrix logits = random_matrix(rows, kVocabulary);
  const NormSpec rms{NormKind::kRmsNorm, 1e-5, &norm};
  const Matrix none;
  const Clock::time_point begin = Clock::now();
  for (auto _ : state) {
    Backend& cpu = backend();
    for (int layer = 0; layer < kLayers; ++layer) {
      const Projection* p = &projections[4 * layer];
      cpu.linear({rms, p, Epilogue::kNone, Activation::kSilu, hidden.matrix, none, qkv.matrix});
      cpu.linear(
          {{}, p + 1, Epilogue::kNone, Activation::kSilu, heads.matrix, none, hidden.matrix});
      cpu.linear(
          {rms, p + 2, Epilogue::kGated, Activation::kSilu, hidden.matrix, none, gated.matrix});
      cpu.linear(
          {{}, p + 3, Epilogue::kNone, Activation::kSilu, gated.matrix, none, hidden.matrix});
    }
    cpu.linear({rms, &projections.back(), Epilogue::kNone, Activation::kSilu, hidden.matrix, none,
                logits.matrix});
  }
  double weights_per_row = 0;
  for (const RandomWeight& w : weights) {
    weights_per_row += static_cast<double>(w.weight.rows * w.weight.cols);
  }
  set_counters(state, begin, bytes, 2.0 * static_cast<double>(rows) * weights_per_row);
  // FLOPs are proportional to tokens.
  state.counters["tokens/s"] = state.counters["GFLOP/s"].value * 1e9 / (2.0 * weights_per_row);
}

// What a parallel loop costs when there is next to nothing in it: a linear of 16 x 64.
void run_region(benchmark::State& state) {
  const RandomWeight weight = random_weight(DType::kF32, 64, 16, 1);
  const Projection projection{{weight.weight}, {}};
  const RandomMatrix in = random_matrix(1, 16);
  const RandomMatrix out = random_matrix(1, 64);
  LinearArgs args;
  args.projection = &projection;
  args.in = in.matrix;
  args.out = out.matrix;
  for (auto _ : state) backend().linear(args);
}

}  // namespace

void register_linear() {
  benchmark::RegisterBenchmark("region", run_region)->UseRealTime();
  for (int64_t rows : {1, 8}) {
    benchmark::RegisterBenchmark(("token/" + std::to_string(rows)).c_str(), run_token, rows)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
  for (DType type :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1}) {
    for (const LinearShape& shape : kShapes) {
      for (int64_t rows : {1, 8, 64}) {
        const std::string name = "linear/" + std::string(dtype_name(type)) + "/" + shape.name +
                                 "/" + std::to_string(rows);
        benchmark::RegisterBenchmark(name.c_str(), run_linear, type, shape, rows)
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
}

}  // namespace skipbench::bench
