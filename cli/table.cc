// skipbench table: the table of a results file.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "eval/report/render.h"

namespace skipbench {
namespace {

struct TableCommand {
  std::string path;
  std::string format = "md";
};

void print_table(const TableCommand& command) {
  ResultStore store(command.path, OpenMode::kReadOnly);
  std::cout << render_table(load_result_table(store), command.format);
}

}  // namespace

void add_table(CLI::App& app) {
  const auto command = std::make_shared<TableCommand>();
  CLI::App* sub =
      app.add_subcommand("table", "Quality and speed from a results file, computed from raw data");
  sub->add_option("db", command->path, "results file that `skipbench run` wrote")->required();
  sub->add_option("-o,--output", command->format, "md, csv, json")->capture_default_str();
  sub->footer("Example:\n  skipbench table results/quickstart.db -o csv");
  sub->callback([command] { print_table(*command); });
}

}  // namespace skipbench
