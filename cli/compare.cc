// skipbench compare: two results files point by point.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "cli/commands.h"
#include "cli/paired_test.h"
#include "eval/report/file_comparison.h"

namespace skipbench {
namespace {

struct CompareCommand {
  std::string a, b;
  std::string format = "md";
  std::string test;  // empty: none
};

void compare(const CompareCommand& command) {
  std::optional<PairedTest> test;
  if (!command.test.empty()) test = paired_test(command.test);
  const FileComparison comparison = compare_files(command.a, command.b, test, {});
  std::cout << render_comparison(comparison, command.format);
}

}  // namespace

void add_compare(CLI::App& app) {
  const auto command = std::make_shared<CompareCommand>();
  CLI::App* sub = app.add_subcommand(
      "compare",
      "Two results files point by point: one sweep under two builds, adapters, settings");
  sub->add_option("a", command->a, "results file of `skipbench run`: before")->required();
  sub->add_option("b", command->b, "results file with the same labels and targets: after")
      ->required();
  sub->add_option("-o,--output", command->format, "md, json")->capture_default_str();
  sub->add_option("--significance", command->test,
                  "test every score of B against A's on the stored outputs: paired-bs (sacreBLEU's "
                  "bootstrap, about half a two-sided p) or paired-ar (two-sided)");
  sub->footer(
      "Example:\n  skipbench run configs/quickstart.yaml --set results=seed2.db --set \\\n"
      "    'model.adapter=adapters-of-seed-2/{strategy}-{target}x'\n"
      "  skipbench compare results/quickstart.db seed2.db --significance paired-ar");
  sub->callback([command] { compare(*command); });
}

}  // namespace skipbench
