// skipbench history: change points of throughput over commits, as text and as a plot.
#include "eval/regress/history.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "engine/base/error.h"
#include "engine/base/text_file.h"
#include "eval/regress/compare.h"
#include "eval/report/plot.h"

namespace skipbench {
namespace {

struct HistoryCommand {
  std::string history, plot;
  ChangePointSettings settings;
};

// The medians of the stretches between changes.
PlotSeries levels(const SeriesHistory& history) {
  PlotSeries series{.name = "median between changes", .guide = true};
  size_t begin = 0;
  for (size_t c = 0; c <= history.changes.size(); ++c) {
    const size_t end = c < history.changes.size() ? history.changes[c].index : history.runs.size();
    std::vector<double> values;
    for (size_t i = begin; i < end; ++i) values.push_back(history.runs[i].tokens_per_second);
    const double level = median(values);
    series.points.push_back({static_cast<double>(begin), level, ""});
    series.points.push_back({static_cast<double>(end - 1), level, ""});
    begin = end;
  }
  return series;
}

Plot history_plot(const SeriesHistory& history) {
  Plot plot{.x_label = "commit of the run", .y_label = "tokens per second"};
  PlotSeries runs{.name = "run", .line = false};
  for (const BenchRun& run : history.runs) {
    runs.points.push_back({static_cast<double>(plot.x_names.size()), run.tokens_per_second, ""});
    plot.x_names.push_back(run_name(run));
  }
  plot.panels.push_back({.title = history.series, .series = {levels(history), std::move(runs)}});
  plot.panel_width = std::max(900.0, 10.0 * static_cast<double>(history.series.size()));
  return plot;
}

void show(const HistoryCommand& command) {
  if (!command.plot.empty()) {
    plot_format(command.plot);
    check_output(command.plot, command.history, "-o");
  }
  const auto runs = read_bench_runs(read_text_file(command.history), command.history);
  const auto histories = history_of(runs, command.settings);
  std::cout << history_text(histories) << std::flush;
  if (command.plot.empty()) return;
  // One file a series: their commits may differ.
  const size_t dot = command.plot.rfind('.');
  for (size_t i = 0; i < histories.size(); ++i) {
    const std::string number = histories.size() == 1 ? "" : fmt::format("-{}", i + 1);
    draw_plot(history_plot(histories[i]),
              command.plot.substr(0, dot) + number + command.plot.substr(dot));
  }
}

}  // namespace

void add_history(CLI::App& app) {
  const auto command = std::make_shared<HistoryCommand>();
  CLI::App* sub =
      app.add_subcommand("history", "Where throughput changed over commits (E-divisive)");
  sub->add_option("history", command->history,
                  "rows of `regress run --keep`, of bench -o jsonl or json, or of "
                  "`export --to llama-bench`, oldest first")
      ->required();
  sub->add_option("-o,--output", command->plot,
                  "NAME.svg or NAME.png; with several series NAME-1, NAME-2, ...");
  sub->add_option("--alpha", command->settings.alpha, "chance of a false change accepted")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  sub->add_option("--permutations", command->settings.permutations, "of the test of a change")
      ->check(whole_number(1, 1000000))
      ->capture_default_str();
  sub->add_option("--min-size", command->settings.min_size, "runs on each side of a change")
      ->capture_default_str();
  sub->footer("Example:\n  skipbench history runs.jsonl -o history.svg");
  sub->callback([command] { show(*command); });
}

}  // namespace skipbench
