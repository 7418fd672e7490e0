// skipbench: one binary, one file per subcommand. JSON and tables on stdout, logs on stderr.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "engine/base/error.h"
#include "engine/base/printable.h"
#include "strategies/plugin.h"

namespace skipbench {
namespace {

void add_commands(CLI::App& app) {
  add_run(app);
  add_merge(app);
  add_schema(app);
  add_validate(app);
  add_table(app);
  add_compare(app);
  add_plot(app);
  add_report(app);
  add_regress(app);
  add_history(app);
  add_export(app);
  add_generate(app);
  add_logprobs(app);
  add_tokenize(app);
  add_plan(app);
  add_probe(app);
  add_search(app);
  add_strategies(app);
  add_score(app);
  add_rescore(app);
  add_inspect(app);
  add_bench(app);
}

// An empty value would be taken as if the option were not there.
void refuse_empty_values(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_items_expected_max() > 0) option->check(not_empty());
  }
  for (CLI::App* command : app.get_subcommands({})) refuse_empty_values(*command);
}

// CLI11 itself would only say that a command is missing.
void refuse_unknown_command(const CLI::App& app, int argc, char** argv) {
  const auto is_value = [](const char* const* text) {
    return std::string_view(*std::prev(text)) == "--plugin";
  };
  const char* const* word = argv + 1;
  while (word != argv + argc && ((*word)[0] == '-' || is_value(word))) ++word;
  std::vector<std::string> known;
  for (const CLI::App* command : app.get_subcommands({})) known.push_back(command->get_name());
  if (word == argv + argc || std::find(known.begin(), known.end(), *word) != known.end()) return;
  throw unknown_name("command", *word, known);
}

std::string usage_message(const CLI::App* app, const CLI::Error& error) {
  const auto parsed = app->get_subcommands();
  const std::string name = parsed.empty() ? "" : " " + parsed.front()->get_name();
  return "skipbench" + name + ": " + printable(error.what()) + "; see `skipbench" + name +
         " --help`\n";
}

// Help or version, or what is wrong with the arguments.
ExitCode report_parse(const CLI::App& app, const CLI::ParseError& error) {
  app.exit(error, std::cout, std::cerr);
  if (error.get_exit_code() != static_cast<int>(CLI::ExitCodes::Success)) {
    return ExitCode::kWrongInput;
  }
  flush_output();
  return ExitCode::kDone;
}

ExitCode parse_and_run(CLI::App& app, int argc, char** argv) {
  try {
    refuse_unknown_command(app, argc, argv);
    app.parse(argc, argv);  // runs the subcommand's callback
    flush_output();
    return ExitCode::kDone;
  } catch (const CLI::ParseError& error) {
    return report_parse(app, error);
  }
}

int run_main(int argc, char** argv) {
  install_signal_handlers();
  CLI::App app("What skipping layers while decoding costs in quality and buys in speed");
  app.set_version_flag("--version", SKIPBENCH_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Each command has --help with an example. Exit codes: 0 done, 1 some cell failed, "
      "2 wrong usage or input, 3 interrupted.");
  app.failure_message(usage_message);
  std::vector<std::string> plugins;
  app.add_option("--plugin", plugins, "shared library with a strategy; may be repeated")
      ->allow_extra_args(false);
  app.fallthrough();  // so that it may stand after the command too
  // Runs when all arguments are read, before the command does.
  app.parse_complete_callback([&plugins] {
    for (const std::string& path : plugins) load_strategy_plugin(path);
  });
  add_commands(app);
  refuse_empty_values(app);
  try {
    return static_cast<int>(parse_and_run(app, argc, argv));
  } catch (const ExitWith& end) {
    return static_cast<int>(end.code);
  } catch (const std::bad_alloc&) {
    std::cerr << "skipbench: out of memory; try a smaller batch, context or model\n";
  } catch (const std::exception& error) {
    std::cerr << "skipbench: " << printable(error.what()) << '\n';
  }
  return static_cast<int>(ExitCode::kWrongInput);
}

}  // namespace
}  // namespace skipbench

int main(int argc, char** argv) { return skipbench::run_main(argc, argv); }
