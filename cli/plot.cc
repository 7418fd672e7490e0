// skipbench plot: a results file as a drawing.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "eval/report/result_plots.h"

namespace skipbench {
namespace {

struct PlotCommand {
  std::string db, path;
  ResultPlotOptions options;
};

void draw(const PlotCommand& command) {
  plot_format(command.path);  // a wrong name is found before the file is read
  ResultStore store(command.db, OpenMode::kReadOnly);
  draw_plot(result_plot(load_result_table(store), command.options), command.path);
}

}  // namespace

void add_plot(CLI::App& app) {
  const auto command = std::make_shared<PlotCommand>();
  CLI::App* sub = app.add_subcommand("plot", "Quality and speed of a results file as SVG or PNG");
  sub->add_option("db", command->db, "results file that `skipbench run` wrote")->required();
  sub->add_option("-o,--output", command->path, "the file to write: NAME.svg or NAME.png")
      ->required();
  sub->add_option("--kind", command->options.kind,
                  "pareto: quality against speed; target: achieved against asked-for speedup; "
                  "batch: speed against batch size")
      ->capture_default_str();
  sub->add_option("--dataset", command->options.dataset, "only this data set");
  sub->add_option("--metric", command->options.score,
                  "pareto: the score to draw, as the table names it; default: the first");
  sub->footer(
      "Example:\n  skipbench plot results/quickstart.db -o results/quickstart.png --kind target\n"
      "Drawn by gnuplot, which must be on PATH (Debian: gnuplot-nox).");
  sub->callback([command] { draw(*command); });
}

}  // namespace skipbench
