// skipbench plot: a results file as a drawing.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/run_option.h"
#include "engine/base/error.h"
#include "engine/base/text_file.h"
#include "eval/report/drift_plots.h"
#include "eval/report/result_plots.h"

namespace skipbench {
namespace {

struct PlotCommand {
  std::string db, path;
  ResultPlotOptions options;
  RunOption run;
};

// Of a probe's output: what it holds is the drift of layers under one strategy.
Plot probe_plot(const PlotCommand& command) {
  const ResultPlotOptions& options = command.options;
  for (const auto& [flag, got] : {std::pair("--dataset", options.dataset),
                                  {"--metric", options.score},
                                  {"--strategy", options.strategy},
                                  {"--run", command.run.text}}) {
    if (got.empty()) continue;
    throw Error({.what = "this option chooses from a results file",
                 .where = flag,
                 .expected = "it left out: " + command.db + " is one probe's output",
                 .got = got});
  }
  const DriftLine line = probe_drift(read_text_file(command.db), command.db);
  Plot plot = drift_plot(std::span(&line, 1), options.kind);
  if (!plot.panels.empty()) return plot;
  throw Error({.what = "nothing to draw in a plot of kind " + options.kind,
               .where = command.db,
               .expected = "a probe of a strategy that skips layers",
               .got = line.strategy,
               .hint = "`full` does not drift from itself"});
}

void draw(const PlotCommand& command) {
  const std::optional<int64_t> run = command.run.number();
  plot_format(command.path);  // a wrong name is found before the file is read
  check_output(command.path, command.db, "-o");
  std::error_code ignored;
  if (std::filesystem::is_regular_file(command.db, ignored) && !holds_database(command.db)) {
    return draw_plot(probe_plot(command), command.path);
  }
  ResultStore store(command.db, OpenMode::kReadOnly);
  draw_plot(result_plot(load_result_table(store, run), command.options), command.path);
}

}  // namespace

void add_plot(CLI::App& app) {
  const auto command = std::make_shared<PlotCommand>();
  CLI::App* sub = app.add_subcommand("plot", "Quality and speed of a results file as SVG or PNG");
  sub->add_option(
         "db", command->db,
         "results file that `skipbench run` wrote, or for --kind similarity, divergence or "
         "steps the JSON of `skipbench probe --strategy`")
      ->required();
  sub->add_option("-o,--output", command->path, "the file to write: NAME.svg or NAME.png")
      ->required();
  sub->add_option(
         "--kind", command->options.kind,
         "pareto: quality against speed; target: achieved against asked-for speedup; "
         "batch: speed against batch size; similarity: hidden states against full's, by layer; "
         "divergence: KL and top-1 agreement with full, by token; steps: hidden states against "
         "full's, by layer and token")
      ->capture_default_str();
  sub->add_option("--dataset", command->options.dataset, "only this data set");
  sub->add_option("--metric", command->options.score,
                  "pareto: the score to draw, as the table names it; default: the first");
  sub->add_option("--strategy", command->options.strategy,
                  "similarity, divergence, steps: only this strategy, as the table names it");
  command->run.add_to(*sub, "the plot");
  sub->footer(
      "Example:\n  skipbench plot results/quickstart.db -o results/quickstart.png --kind target\n"
      "Drawn by gnuplot, which must be on PATH (Debian: gnuplot-nox).");
  sub->callback([command] { draw(*command); });
}

}  // namespace skipbench
