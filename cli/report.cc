// skipbench report: a results file as one HTML page.
#include "eval/report/report.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/paired_test.h"
#include "cli/run_option.h"
#include "engine/base/error.h"
#include "eval/report/comparison.h"

namespace skipbench {
namespace {

struct ReportCommand {
  std::string db, path;
  std::string test = "paired-bs", correction = "none";
  bool names_baseline = false;  // else a table without `full` has none
  RunOption run;
  ReportOptions options;
};

bool has_baseline(const ResultTable& table, const std::string& baseline) {
  return std::any_of(table.rows.begin(), table.rows.end(),
                     [&](const TableRow& row) { return row.strategy == baseline; });
}

void check_page(const ReportCommand& command) {
  if (!command.path.ends_with(".html")) {
    throw Error({.what = "not the name of a page",
                 .where = "-o",
                 .expected = "a name that ends in .html",
                 .got = command.path});
  }
  check_output(command.path, command.db, "-o");
}

void report(const ReportCommand& command) {
  check_page(command);
  const std::optional<int64_t> run = command.run.number();
  ComparisonOptions comparison;
  const bool tested = command.test != "none";
  if (tested) comparison.test = paired_test(command.test);
  comparison.baseline = command.options.baseline;
  comparison.shows_correction = asks_for_holm(command.correction);
  if (comparison.shows_correction && !tested) {
    throw Error({.what = "a page without tests does not read this option",
                 .where = "--correction",
                 .expected = "it with --significance paired-bs or paired-ar",
                 .got = command.correction});
  }
  ResultStore store(command.db, OpenMode::kReadOnly);
  ResultTable table = load_result_table(store, run);
  if (command.names_baseline) check_baseline(table, comparison.baseline);
  if (tested && has_baseline(table, comparison.baseline)) {
    compare_strategies(store, table, comparison);
  }
  write_file(command.path, html_report(store, table, command.options));
}

}  // namespace

void add_report(CLI::App& app) {
  const auto command = std::make_shared<ReportCommand>();
  CLI::App* sub = app.add_subcommand(
      "report", "A results file as one HTML page: tables, plots, outputs side by side");
  sub->add_option("db", command->db, "results file that `skipbench run` wrote")->required();
  sub->add_option("-o,--output", command->path, "the page to write: NAME.html")->required();
  sub->add_option("--samples", command->options.samples, "examples shown of each data set")
      ->check(whole_number(0, 10000))
      ->capture_default_str();
  const CLI::Option* baseline =
      sub->add_option("--baseline", command->options.baseline,
                      "strategy that the others are tested against and their texts compared with")
          ->capture_default_str();
  sub->add_option("--significance", command->test, "paired-bs, paired-ar, or none")
      ->capture_default_str();
  sub->add_option("--correction", command->correction,
                  "holm: columns of p corrected for all tests of a score on a data set; or none")
      ->capture_default_str();
  command->run.add_to(*sub, "the page");
  sub->footer(
      "Example:\n  skipbench report results/quickstart.db -o results/quickstart.html\n"
      "The page needs no other file and no network. Plots are drawn by gnuplot.");
  sub->callback([command, baseline] {
    command->names_baseline = baseline->count() > 0;
    report(*command);
  });
}

}  // namespace skipbench
