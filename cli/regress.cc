// skipbench regress: is one build's throughput below another's?
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "engine/base/error.h"
#include "engine/base/subprocess.h"
#include "engine/base/text_file.h"
#include "eval/regress/gate.h"

namespace skipbench {
namespace {

struct RegressCommand {
  std::string history, baseline, candidate;  // names, or programs of `regress run`
  std::vector<std::string> bench;            // arguments of `skipbench bench`
  double timeout_seconds = 600;
  AbSettings settings;
};

// The exit code is the verdict's: 0 no regression, 1 regression, 2 cannot judge.
void report(const GateResult& result) {
  constexpr const char* kNames[] = {"no regression", "REGRESSION", "cannot judge"};
  for (const SeriesVerdict& one : result.series) {
    std::cout << kNames[static_cast<int>(one.comparison.verdict)] << ": " << one.series << ": "
              << one.comparison.why << '\n';
    for (const std::string& note : one.notes) std::cout << "  note: " << note << '\n';
  }
  std::cout << kNames[static_cast<int>(result.verdict)] << '\n' << std::flush;
  if (result.verdict == Verdict::kRegression) throw ExitWith{ExitCode::kCellFailed};
  if (result.verdict == Verdict::kCannotJudge) throw ExitWith{ExitCode::kWrongInput};
}

void compare_history(const RegressCommand& command) {
  const auto runs = read_bench_runs(read_text_file(command.history), command.history);
  report(judge_runs(runs, command.baseline, command.candidate, command.settings.regress));
}

std::vector<BenchRun> measure(const RegressCommand& command, bool is_candidate) {
  const std::string& binary = is_candidate ? command.candidate : command.baseline;
  std::vector<std::string> argv = {binary, "bench"};
  argv.insert(argv.end(), command.bench.begin(), command.bench.end());
  argv.insert(argv.end(), {"-o", "json"});
  const ProcessResult result = run_process(argv, "", command.timeout_seconds);
  if (result.timed_out || result.exit_code != 0) {
    throw Error(
        {.what = result.timed_out
                     ? fmt::format("took more than {:g} s", command.timeout_seconds)
                     : fmt::format("ended with exit code {}: {}", result.exit_code, result.errors),
         .where = binary + " bench"});
  }
  if (!command.history.empty()) {
    std::ofstream file(command.history, std::ios::app | std::ios::binary);
    file << history_lines(result.output, is_candidate ? "candidate" : "baseline", binary)
         << std::flush;
    if (!file) throw Error({.what = "cannot write the history", .where = command.history});
  }
  return read_bench_runs(result.output, binary + " bench");
}

void compare_binaries(const RegressCommand& command) {
  for (const std::string& binary : {command.baseline, command.candidate}) {
    check_output(command.history, binary, "--keep");
  }
  report(compare_in_turns([&](bool is_candidate) { return measure(command, is_candidate); },
                          command.settings,
                          [](const std::string& line) { std::cerr << line << '\n'; }));
}

// "3%" and "0.03" are the same. The library checks the range.
CLI::Validator fraction() {
  const auto convert = [](std::string& text) -> std::string {
    const bool percent = text.ends_with('%');
    const std::string digits = percent ? text.substr(0, text.size() - 1) : text;
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      return "not a fraction or a percentage: " + text;
    }
    text = fmt::format("{}", percent ? value / 100 : value);
    return "";
  };
  return CLI::Validator(convert, "FRACTION");
}

void add_settings(CLI::App& sub, RegressSettings& settings) {
  sub.add_option("--min-effect", settings.min_effect, "smallest slowdown that matters")
      ->transform(fraction())
      ->capture_default_str();
  sub.add_option("--detect", settings.detect, "slowdown that must not be missed")
      ->transform(fraction())
      ->capture_default_str();
  sub.add_option("--power", settings.power, "with which probability")
      ->transform(fraction())
      ->capture_default_str();
  sub.add_option("--alpha", settings.alpha, "chance of a false alarm, over all that is compared")
      ->transform(fraction())
      ->capture_default_str();
}

constexpr char kExitCodes[] =
    "Exit codes: 0 no regression, 1 regression, 2 cannot judge (too few runs, different machines "
    "or clocks, a slowed card, unsteady speed) or wrong input.";

void add_regress_run(CLI::App& parent, const std::shared_ptr<RegressCommand>& command) {
  CLI::App* run = parent.add_subcommand("run", "Measure two builds in turns and compare them");
  run->add_option("--baseline-binary", command->baseline, "skipbench as it was")->required();
  run->add_option("--candidate-binary", command->candidate, "skipbench as it is now")->required();
  run->add_option("--keep", command->history, "append every run to this history");
  run->add_option("--pilot", command->settings.pilot_runs, "runs per side before noise is judged")
      ->check(whole_number(2, 1000))
      ->capture_default_str();
  run->add_option("--max-runs", command->settings.max_runs, "runs per side in a round at most")
      ->check(whole_number(2, 10000))
      ->capture_default_str();
  run->add_option("--timeout", command->timeout_seconds, "seconds of one process")
      ->check(finite_number())
      ->capture_default_str();
  add_settings(*run, command->settings.regress);
  run->add_option("bench", command->bench, "after --: the arguments of `skipbench bench`")
      ->required();
  run->footer(
      "Example:\n  skipbench regress run --baseline-binary old/skipbench --candidate-binary "
      "build/cpu-release/skipbench \\\n    -- --model models/smollm2-135m -p 16 -n 32 -r 3\n" +
      std::string(kExitCodes));
  run->callback([command] { compare_binaries(*command); });
}

}  // namespace

void add_regress(CLI::App& app) {
  const auto command = std::make_shared<RegressCommand>();
  CLI::App* sub = app.add_subcommand("regress", "Compare the throughput of two builds");
  auto* history = sub->add_option("--history", command->history,
                                  "rows of `regress run --keep`, of bench -o jsonl or json, or of "
                                  "`export --to llama-bench`");
  auto* baseline =
      sub->add_option("--baseline", command->baseline, "label or commit of the runs before");
  auto* candidate =
      sub->add_option("--candidate", command->candidate, "label or commit of the runs after");
  add_settings(*sub, command->settings.regress);
  sub->require_subcommand(0, 1);
  const auto of_run = std::make_shared<RegressCommand>();
  add_regress_run(*sub, of_run);
  sub->footer(
      "Example:\n  skipbench regress --history runs.jsonl --baseline baseline --candidate "
      "candidate\n" +
      std::string(kExitCodes));
  sub->callback([=] {
    if (!sub->get_subcommands().empty()) return;
    for (const auto* option : {history, baseline, candidate}) {
      if (option->count() == 0) throw CLI::RequiredError(option->get_name());
    }
    compare_history(*command);
  });
}

}  // namespace skipbench
