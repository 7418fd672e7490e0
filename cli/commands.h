// One function per subcommand, each in its own file. A callback throws Error for wrong input, which
// main turns into exit code 2; other exit codes are returned through ExitCode.
#pragma once

#include <CLI/CLI.hpp>

namespace skipbench {

// 0 done, 1 some cell failed, 2 wrong usage or input, 3 interrupted.
enum class ExitCode : int { kDone = 0, kCellFailed = 1, kWrongInput = 2, kInterrupted = 3 };

// Thrown by a callback to end with another code than kDone after its output is complete.
struct ExitWith {
  ExitCode code;
};

void add_run(CLI::App& app);
void add_merge(CLI::App& app);
void add_schema(CLI::App& app);
void add_validate(CLI::App& app);
void add_table(CLI::App& app);
void add_compare(CLI::App& app);
void add_plot(CLI::App& app);
void add_report(CLI::App& app);
void add_history(CLI::App& app);
void add_regress(CLI::App& app);
void add_export(CLI::App& app);
void add_generate(CLI::App& app);
void add_logprobs(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_plan(CLI::App& app);
void add_probe(CLI::App& app);
void add_search(CLI::App& app);
void add_score(CLI::App& app);
void add_rescore(CLI::App& app);
void add_inspect(CLI::App& app);
void add_bench(CLI::App& app);
void add_strategies(CLI::App& app);

}  // namespace skipbench
