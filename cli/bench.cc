// skipbench bench: throughput on random tokens, in llama-bench's conventions.
#include "eval/bench/bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <set>

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

// Leaves each strategy the parameters that it has. Throws Error for one that none of them has.
void share_parameters(std::vector<StrategySpec>& grid) {
  std::map<std::string, std::string> given;  // -> where
  std::set<std::string> taken;
  for (StrategySpec& spec : grid) {
    for (const auto& [name, value] : spec.params) given[name] = value.where;
    const auto& known = find_strategy(spec.name).params;
    std::erase_if(spec.params, [&](const auto& param) {
      return std::ranges::find(known, param.first, &ParamInfo::name) == known.end();
    });
    for (const auto& [name, value] : spec.params) taken.insert(name);
  }
  for (const auto& [name, where] : given) {
    if (taken.contains(name)) continue;
    throw Error({.what = fmt::format("no strategy here has the parameter '{}'", name),
                 .where = where,
                 .expected = "one that `skipbench strategies` lists for a --strategy"});
  }
}

// Every strategy at every target; one that does not use the target once.
std::vector<StrategySpec> strategy_grid(const BenchCommand& command, int num_layers) {
  for (const double target : command.targets) layer_budget(num_layers, target);
  std::vector<StrategySpec> grid;
  for (const std::string& name : command.strategies) {
    const bool uses_target = find_strategy(name).uses_target;
    for (const double target : command.targets) {
      const StrategyOptions options{
          .name = name, .target = uses_target ? target : 1.0, .params = command.params};
      grid.push_back(options.spec());
      if (!uses_target) break;
    }
  }
  share_parameters(grid);
  for (const StrategySpec& spec : grid) {  // refuse before timing
    for (const int new_tokens : command.request.new_tokens) {
      make_strategy(with_new_tokens(spec, std::max(1, new_tokens)), num_layers);
    }
  }
  return grid;
}

void check_tests(const BenchRequest& request) {
  const auto is_some = [](int tokens) { return tokens > 0; };
  if (std::ranges::any_of(request.prompt_tokens, is_some) ||
      std::ranges::any_of(request.new_tokens, is_some)) {
    return;
  }
  throw Error({.what = "nothing to measure",
               .where = "-p 0 -n 0",
               .expected = "prompt tokens, new tokens, or both"});
}

constexpr int kMostValues = 1000;  // of a range

// One of llama-bench's ranges, first[-last[+step|*factor]], as numbers in [lo, hi].
std::vector<int> range_of(const std::string& text, const std::string& option, int lo, int hi) {
  const CLI::Validator check = whole_number(lo, hi);
  const auto number = [&](std::string digits) {
    const std::string wrong = check(digits);
    if (!wrong.empty()) throw CLI::ValidationError(option, wrong);
    return std::stoi(digits);
  };
  const auto refuse = [&](const std::string& what) {
    return CLI::ValidationError(option, what + ", got '" + text + "'");
  };
  const size_t dash = text.find('-', 1);
  if (dash == std::string::npos) return {number(text)};
  const size_t step_at = std::min(text.find_first_of("+*", dash), text.size());
  const int first = number(text.substr(0, dash));
  const int last = number(text.substr(dash + 1, step_at - dash - 1));
  const bool multiplies = step_at < text.size() && text[step_at] == '*';
  const int step = step_at < text.size() ? number(text.substr(step_at + 1)) : 1;
  if (last < first || (multiplies ? step < 2 || first < 1 : step < 1)) {
    throw refuse("expected a range that rises, as 8-16+8 or 128-512*2");
  }
  std::vector<int> values;
  for (int64_t value = first; value <= last; value = multiplies ? value * step : value + step) {
    values.push_back(static_cast<int>(value));
    if (std::ssize(values) > kMostValues) {
      throw refuse(fmt::format("expected a range of at most {} values", kMostValues));
    }
  }
  return values;
}

// An option of numbers and ranges with commas between them.
void add_ranges(CLI::App& sub, const std::string& flags, std::vector<int>& list,
                const std::string& help, int lo, int hi) {
  const std::string name = flags.substr(flags.rfind(',') + 1);
  const auto take = [&list, name, lo, hi](const std::vector<std::string>& texts) {
    list.clear();
    for (const std::string& item : split_list(texts)) {
      std::ranges::copy(range_of(item, name, lo, hi), std::back_inserter(list));
    }
  };
  sub.add_option_function<std::vector<std::string>>(
         flags, take, help + "; lists with commas and ranges, as 8-16+8 or 128-512*2")
      ->default_str(fmt::format("{}", fmt::join(list, ",")))
      ->type_name(fmt::format("LIST:INT in [{} - {}]", lo, hi));
}

void bench(BenchCommand& command) {
  check_tests(command.request);
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
  add_ranges(*sub, "-p,--n-prompt", request.prompt_tokens,
             "prompt tokens (ppN), and tgN's depth; 0: no ppN, tgN after one token", 0, 1 << 20);
  add_ranges(*sub, "-n,--n-gen", request.new_tokens, "tokens from decoding steps (tgN); 0: none", 0,
             1 << 20);
  add_ranges(*sub, "-b,--batch", request.batches, "batch sizes", 1, 1 << 16);
  const CLI::Option* strategy =
      add_list(*sub, "--strategy", command->strategies, "strategies, comma-separated")
          ->capture_default_str();
  const CLI::Option* target = add_list(*sub, "--target", command->targets,
                                       "target speedups, comma-separated", finite_number())
                                  ->capture_default_str();
  sub->add_option("--param", command->params,
                  "parameter KEY=VALUE of every strategy that has it; repeatable")
      ->allow_extra_args(false);
  sub->add_option("-r,--repetitions", request.repetitions, "measured repetitions")
      ->check(whole_number(1, 100000))
      ->capture_default_str();
  sub->add_option("--warmup", request.warmup, "repetitions before, not measured")
      ->check(whole_number(0, 1000))
      ->capture_default_str();
  sub->add_option("-o,--output", command->format, "md, csv, json, jsonl or sql")
      ->capture_default_str();
  sub->footer(
      "`full` is always measured too: speedups are against it, in the same run.\n"
      "Example:\n  skipbench bench --model models/smollm2-135m -p 64 -n 64 -b 1,8 \\\n"
      "    --strategy unified --target 1,2,5 -r 5 -o md");
  sub->callback([command, strategy, target] {
    if (strategy->empty() && !target->empty()) {
      throw strategy_is_missing("--target", target->results().front());
    }
    bench(*command);
  });
}

}  // namespace skipbench
