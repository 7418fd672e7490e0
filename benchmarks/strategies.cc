// What a strategy costs per decoding step beside the step itself: the layer set, and the walk over
// it that a pass makes, for every strategy whose sets do not depend on the input. Run:
//   build/cpu-release/benchmarks/strategies_bench
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <memory>
#include <string>

#include "strategies/strategy.h"

namespace skipbench {
namespace {

constexpr int kSteps = 64;  // of one text, in turns

// Scores of N layers that grow with the layer, as AdaSkip's calibration writes them.
std::string made_up_scores(int num_layers) {
  std::string similarity, ratio;
  for (int layer = 0; layer < num_layers; ++layer) {
    similarity += fmt::format("{}{}", layer > 0 ? "," : "", 0.5 + 0.4 * layer / num_layers);
    ratio += layer > 0 ? ",1.05" : "1.05";
  }
  const std::string one =
      fmt::format(R"({{"similarity":[{}],"norm_ratio":[{}]}})", similarity, ratio);
  return fmt::format(R"({{"attention":{0},"mlp":{0},"late_share":0.5}})", one);
}

// At 2x, with what a calibration would find.
StrategySpec spec_of(const StrategyInfo& info, int num_layers) {
  StrategySpec spec{.name = info.name, .target = info.uses_target ? 2.0 : 1.0};
  if (info.name == "layers") spec.params["layers"] = {fmt::format("0-{}", num_layers / 2), ""};
  if (info.name == "adaskip") spec.params["scores"] = {made_up_scores(num_layers), ""};
  if (info.name == "static_pruning") {
    std::string order;
    for (int layer = num_layers - 3; layer >= 4; --layer) order += fmt::format("{},", layer);
    order.pop_back();
    spec.params["order"] = {order, ""};
  }
  return spec;
}

void run_step_layers(benchmark::State& state, const SkipStrategy& strategy, int num_layers) {
  int step = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(strategy.step_layers(num_layers, step));
    step = (step + 1) % kSteps;
  }
}

// As a pass reads it: each sublayer asked once, the layers counted.
void run_plan(benchmark::State& state, const SkipStrategy& strategy, int num_layers) {
  int step = 0;
  for (auto _ : state) {
    const LayerSet set = strategy.step_layers(num_layers, step);
    int sublayers = 0;
    for (int layer = 0; layer < num_layers; ++layer) {
      sublayers += set.attention(layer) ? 1 : 0;
      sublayers += set.mlp(layer) ? 1 : 0;
    }
    benchmark::DoNotOptimize(sublayers);
    benchmark::DoNotOptimize(set.layers());
    step = (step + 1) % kSteps;
  }
}

void register_strategy(StrategySpec spec, int num_layers, const std::string& label) {
  const std::shared_ptr<SkipStrategy> strategy = make_strategy(spec, num_layers);
  const std::string name = fmt::format("{}/N{}", label, num_layers);
  benchmark::RegisterBenchmark(("step_layers/" + name).c_str(), [=](benchmark::State& state) {
    run_step_layers(state, *strategy, num_layers);
  });
  benchmark::RegisterBenchmark(("plan/" + name).c_str(), [=](benchmark::State& state) {
    run_plan(state, *strategy, num_layers);
  });
}

void register_strategies() {
  for (const int num_layers : {30, 80}) {
    for (const StrategyInfo& info : strategy_table()) {
      if (info.is_dynamic) continue;
      const StrategySpec spec = spec_of(info, num_layers);
      register_strategy(spec, num_layers, info.name);
      if (info.name != "random") continue;
      StrategySpec per_step = spec;
      per_step.params["per"] = {"step", ""};
      register_strategy(per_step, num_layers, "random_per_step");
    }
  }
}

}  // namespace
}  // namespace skipbench

int main(int argc, char** argv) {
  skipbench::register_strategies();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
