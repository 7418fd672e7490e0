// skipbench merge: results files of one sweep's shards as one.
#include "eval/store/merge.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"

namespace skipbench {

void add_merge(CLI::App& app) {
  struct Options {
    std::vector<std::string> inputs;
    std::string output;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("merge", "Results files of one sweep's shards as one");
  sub->add_option("db", options->inputs, "results files that `skipbench run --shard` wrote")
      ->required();
  sub->add_option("-o,--output", options->output, "the new results file")->required();
  sub->footer(
      "Example:\n  skipbench merge shard-1.db shard-2.db -o all.db\n"
      "Finished cells that several files have must agree; else they are listed, and nothing is "
      "written.");
  sub->callback([options] {
    std::string command = "skipbench merge";
    for (const std::string& input : options->inputs) command += " " + input;
    const MergeSummary summary =
        merge_stores(options->inputs, options->output, command + " -o " + options->output);
    std::cerr << fmt::format("{} of {} cells are done in {}\n", summary.done, summary.cells,
                             options->output);
  });
}

}  // namespace skipbench
