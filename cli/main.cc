// skipbench: one binary, one file per subcommand. JSON and tables on stdout, logs on stderr.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>

#include "cli/commands.h"
#include "engine/base/error.h"

namespace skipbench {
namespace {

void add_commands(CLI::App& app) {
  add_run(app);
  add_validate(app);
  add_table(app);
  add_export(app);
  add_generate(app);
  add_logprobs(app);
  add_tokenize(app);
  add_plan(app);
  add_strategies(app);
  add_score(app);
  add_inspect(app);
  add_bench(app);
}

int run_main(int argc, char** argv) {
  CLI::App app("What skipping layers while decoding costs in quality and buys in speed");
  app.set_version_flag("--version", SKIPBENCH_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Each command has --help with an example. Exit codes: 0 done, 1 some cell failed, "
      "2 wrong usage or input, 3 interrupted.");
  add_commands(app);
  try {
    app.parse(argc, argv);  // runs the subcommand's callback
    std::cout.flush();
    if (!std::cout) throw Error({.what = "could not write to standard output"});
    return static_cast<int>(ExitCode::kDone);
  } catch (const CLI::ParseError& error) {
    const bool asked_for_help = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
    app.exit(error, std::cout, std::cerr);
    return static_cast<int>(asked_for_help ? ExitCode::kDone : ExitCode::kWrongInput);
  } catch (const ExitWith& end) {
    return static_cast<int>(end.code);
  } catch (const std::bad_alloc&) {
    std::cerr << "skipbench: out of memory; try a smaller batch, context or model\n";
  } catch (const std::exception& error) {
    std::cerr << "skipbench: " << error.what() << '\n';
  }
  return static_cast<int>(ExitCode::kWrongInput);
}

}  // namespace
}  // namespace skipbench

int main(int argc, char** argv) { return skipbench::run_main(argc, argv); }
