// skipbench rescore: a metric of another program on the outputs of a results file.
#include "eval/rescore.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/run_option.h"

namespace skipbench {

void add_rescore(CLI::App& app) {
  struct Options {
    std::string path;
    RescoreRequest request;
    bool no_sources = false;
    RunOption run;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand(
      "rescore", "A metric that another program computes (COMET), of a results file's outputs");
  sub->add_option("db", options->path, "results file that `skipbench run` wrote")->required();
  sub->add_option("--external", options->request.program.command,
                  "command of the program (docs/external-metrics.md), started once for all outputs")
      ->required();
  sub->add_option("--external-timeout", options->request.program.timeout_seconds,
                  "seconds for that command")
      ->check(positive_number())
      ->capture_default_str();
  sub->add_flag("--no-sources", options->no_sources,
                "the program gets no sources, which are read from the configuration's files");
  sub->add_flag("--again", options->request.again,
                "also score what this command has scored before");
  options->run.add_to(*sub, "whose outputs are scored");
  sub->footer(
      "Example:\n  skipbench rescore results/quickstart.db --external 'python3 comet_scores.py'\n"
      "  skipbench table results/quickstart.db --significance paired-ar --baseline unified\n"
      "The scores become columns of the run's tables, plots and reports, with tests and "
      "intervals.");
  sub->callback([options] {
    options->request.run = options->run.number();
    options->request.with_sources = !options->no_sources;
    { ResultStore is_there(options->path, OpenMode::kReadOnly); }  // else it would be made
    ResultStore store(options->path, OpenMode::kReadWrite);
    const RescoreSummary summary = rescore(store, options->request);
    std::cerr << fmt::format("{}: {} outputs of {} cells scored, {} cells had their scores\n",
                             summary.name, summary.outputs, summary.scored, summary.kept);
  });
}

}  // namespace skipbench
