// skipbench table: the table of a results file.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/paired_test.h"
#include "cli/run_option.h"
#include "engine/base/error.h"
#include "eval/report/comparison.h"
#include "eval/report/render.h"
#include "eval/report/stored_runs.h"

namespace skipbench {
namespace {

struct TableCommand {
  std::string path;
  std::string format = "md";
  TableLayout layout;
  std::string test;  // empty: none
  std::string correction = "none";
  std::vector<std::string> beside;  // name and file
  ComparisonOptions comparison;
  bool names_baseline = false, names_correction = false;
  RunOption run;
};

void check_is_read(const TableCommand& command, const char* option, const std::string& value) {
  if (!command.test.empty()) return;
  throw Error({.what = "a table without tests does not read this option",
               .where = option,
               .expected = "it with --significance",
               .got = value});
}

void print_table(TableCommand& command) {
  if (command.names_baseline) check_is_read(command, "--baseline", command.comparison.baseline);
  if (command.names_correction) check_is_read(command, "--correction", command.correction);
  command.comparison.shows_correction = asks_for_holm(command.correction);
  if (!command.test.empty()) command.comparison.test = paired_test(command.test);
  if (!command.beside.empty()) {
    command.layout.beside = read_published(command.beside[0], command.beside[1]);
  }
  ResultStore store(command.path, OpenMode::kReadOnly);
  if (command.run.text == "list") {
    std::cout << render_runs(stored_runs(store.database()));
    return;
  }
  ResultTable table = load_result_table(store, command.run.number());
  if (!command.test.empty()) compare_strategies(store, table, command.comparison);
  std::cout << render_table(table, command.format, command.layout);
}

}  // namespace

void add_table(CLI::App& app) {
  const auto command = std::make_shared<TableCommand>();
  CLI::App* sub =
      app.add_subcommand("table", "Quality and speed from a results file, computed from raw data");
  sub->add_option("db", command->path, "results file that `skipbench run` wrote")->required();
  sub->add_option("-o,--output", command->format, "md, latex, csv, json")->capture_default_str();
  sub->add_option("--layout", command->layout.name,
                  "cells: a row per cell; paper: batch size x target x strategy, quality of all "
                  "data sets side by side")
      ->capture_default_str();
  add_list(*sub, "--rows", command->layout.rows,
           "columns that come first and order the rows, comma-separated");
  add_list(*sub, "--columns", command->layout.columns,
           "the columns to show, comma-separated, by their keys in csv; more than the usual ones: "
           "paired_speedup, speedup_low, speedup_high (its 95 % interval; likewise "
           "paired_total_speedup, total_speedup_low, total_speedup_high), differs_from_full, "
           "first_token_ms, step_p50_ms (p90, p95, p99), cache_mib, needed_mib, peak_memory_mib, "
           "sm_clock_mhz, memory_clock_mhz, temperature_c, power_watts, foreign_processes, "
           "clock_reasons, adapter, weights, machine, natural_decode_tokens_per_second (of quality "
           "decoding: natural length, in the batch natural_batch, not in turns)");
  sub->add_option("--where", command->layout.where,
                  "only rows with COLUMN=VALUE or COLUMN=VALUE,VALUE; repeatable")
      ->allow_extra_args(false);
  sub->add_option(
      "--significance", command->test,
      "test every score against the baseline's on the stored outputs: paired-bs "
      "(sacreBLEU's bootstrap, about half a two-sided p) or paired-ar (two-sided); with "
      "it csv and json hold the ends of each score's 95 % bootstrap interval, as "
      "'BLEU low' and 'BLEU high'");
  const CLI::Option* baseline = sub->add_option("--baseline", command->comparison.baseline,
                                                "with --significance: the strategy to test against")
                                    ->capture_default_str();
  const CLI::Option* correction =
      sub->add_option("--correction", command->correction,
                      "with --significance: holm adds to md and latex the columns 'BLEU p Holm': p "
                      "corrected for all tests of a score on a data set, whatever rows are shown "
                      "(csv and json always have them); or none")
          ->capture_default_str();
  sub->add_option("--beside", command->beside,
                  "NAME FILE: with --layout paper, published numbers beside one's own, as in "
                  "paper results/paper_table4.json")
      ->expected(2);
  sub->add_option("--run", command->run.text,
                  "the table of another run than the latest, by its number; list: the runs of the "
                  "file with number, start, finished cells and command");
  sub->footer(
      "Example:\n  skipbench table results/quickstart.db -o latex --where batch=8 --significance "
      "paired-bs");
  sub->callback([command, baseline, correction] {
    command->names_baseline = baseline->count() > 0;
    command->names_correction = correction->count() > 0;
    print_table(*command);
  });
}

}  // namespace skipbench
