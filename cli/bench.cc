// skipbench bench: throughput on random tokens, in llama-bench's conventions.
#include "eval/bench/bench.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "cli/options.h"
#include "engine/base/error.h"
#include "engine/weights/load.h"

namespace skipbench {
namespace {

struct BenchCommand {
  EngineOptions engine;
  BenchRequest request;
  std::vector<std::string> strategies = {"full"};
  std::vector<double> targets = {1};
  std::vector<std::string> params;
  std::string format = "md";
};

// Every strategy at every target; one that does not use the target once.
std::vector<StrategySpec> strategy_grid(const BenchCommand& command, int num_layers) {
  for (const double target : command.targets) layer_budget(num_layers, target);
  std::vector<StrategySpec> grid;
  for (const std::string& name : command.strategies) {
    const bool uses_target = find_strategy(name).uses_target;
    for (const double target : command.targets) {
      const StrategyOptions options{
          .name = name, .target = uses_target ? target : 1.0, .params = command.params};
      grid.push_back(with_new_tokens(options.spec(), std::max(1, command.request.new_tokens)));
      if (!uses_target) {
        grid.back().params.clear();  // parameters are for the strategies that skip
        break;
      }
    }
  }
  for (const StrategySpec& spec : grid) make_strategy(spec, num_layers);  // refuse before timing
  return grid;
}

// Without decoding steps a prompt of no tokens has nothing to measure.
void drop_empty_tests(BenchRequest& request) {
  if (request.new_tokens > 0) return;
  std::erase(request.prompt_tokens, 0);
  if (!request.prompt_tokens.empty()) return;
  throw Error({.what = "nothing to measure",
               .where = "-p 0 -n 0",
               .expected = "prompt tokens, new tokens, or both"});
}

void bench(BenchCommand& command) {
  drop_empty_tests(command.request);
  format_bench({}, {}, command.format);  // refuses an unknown format before anything is loaded
  const LoadedModel loaded = load_model(command.engine.model_name(), command.engine.adapter);
  command.request.strategies = strategy_grid(command, loaded.config.num_layers);
  command.request.seed = static_cast<uint64_t>(command.engine.seed);
  const auto backend = make_backend(command.engine.device_spec());
  Model model(loaded, *backend);
  Decoder decoder(model);
  const bool show_progress = isatty(STDERR_FILENO) != 0;
  const std::vector<BenchRow> rows = run_bench(decoder, command.request, [&](int done, int all) {
    if (show_progress) std::cerr << "\rsample " << done << '/' << all << std::flush;
  });
  if (show_progress) std::cerr << '\n';
  std::cout << format_bench(bench_context(model), rows, command.format);
}

}  // namespace

void add_bench(CLI::App& app) {
  const auto command = std::make_shared<BenchCommand>();
  CLI::App* sub = app.add_subcommand(
      "bench", "Throughput of strategies on random tokens, in llama-bench's conventions");
  command->engine.add_to(*sub);
  BenchRequest& request = command->request;
  add_list(*sub, "-p,--n-prompt", request.prompt_tokens,
           "prompt tokens (ppN), and tgN's depth, comma-separated; 0: no ppN, tgN after one token",
           whole_number(0, 1 << 20))
      ->capture_default_str();
  sub->add_option("-n,--n-gen", request.new_tokens, "tokens from decoding steps (tgN); 0: none")
      ->check(whole_number(0, 1 << 20))
      ->capture_default_str();
  add_list(*sub, "-b,--batch", request.batches, "batch sizes, comma-separated",
           whole_number(1, 1 << 16))
      ->capture_default_str();
  add_list(*sub, "--strategy", command->strategies, "strategies, comma-separated")
      ->capture_default_str();
  add_list(*sub, "--target", command->targets, "target speedups, comma-separated", finite_number())
      ->capture_default_str();
  sub->add_option("--param", command->params, "strategy parameter KEY=VALUE; repeatable")
      ->allow_extra_args(false);
  sub->add_option("-r,--repetitions", request.repetitions, "measured repetitions")
      ->check(whole_number(1, 100000))
      ->capture_default_str();
  sub->add_option("--warmup", request.warmup, "repetitions before, not measured")
      ->check(whole_number(0, 1000))
      ->capture_default_str();
  sub->add_option("-o,--output", command->format, "md, csv, json or sql")->capture_default_str();
  sub->footer(
      "`full` is always measured too: speedups are against it, in the same run.\n"
      "Example:\n  skipbench bench --model models/smollm2-135m -p 64 -n 64 -b 1,8 \\\n"
      "    --strategy unified --target 1,2,5 -r 5 -o md");
  sub->callback([command] { bench(*command); });
}

}  // namespace skipbench
