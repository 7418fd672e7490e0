// skipbench export: raw outputs and drifts of a results file as JSON lines.
#include "eval/report/export.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/options.h"
#include "eval/report/export_bench.h"
#include "eval/report/export_depths.h"

namespace skipbench {

void add_export(CLI::App& app) {
  struct Options {
    std::string path, to;
    bool outputs = false, timing = false, drift = false, probes = false;
    int64_t steps = 0;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand(
      "export", "Every output with its tokens, layers and times, one JSON line each");
  sub->add_option("db", options->path, "results file that `skipbench run` wrote")->required();
  CLI::Option* outputs = sub->add_flag("--outputs", options->outputs, "export the scored outputs");
  sub->add_flag("--timing", options->timing, "the timed outputs too, once per repetition");
  CLI::Option* drift =
      sub->add_flag("--drift", options->drift,
                    "per cell and step the hidden states and distributions against full's")
          ->excludes(outputs);
  CLI::Option* probes =
      sub->add_flag("--probes", options->probes, "what `skipbench probe --results` kept")
          ->excludes(outputs)
          ->excludes(drift);
  sub->add_option("--to", options->to,
                  "llama-bench or google-benchmark: the timings as that program's JSON; "
                  "exit-depths: early_exit's layers per step, which its `depths` replays")
      ->excludes(outputs)
      ->excludes(drift)
      ->excludes(probes);
  sub->add_option("--steps", options->steps,
                  "exit-depths: as many decoding steps in a row, those whose mean is nearest to "
                  "the budget; 0: all")
      ->check(whole_number(0, 1 << 16))
      ->capture_default_str();
  sub->footer("Example:\n  skipbench export results/quickstart.db --outputs > outputs.jsonl");
  sub->callback([options] {
    if (!options->outputs && !options->drift && !options->probes && options->to.empty()) {
      throw CLI::RequiredError("--outputs, --drift, --probes or --to");
    }
    ResultStore store(options->path, OpenMode::kReadOnly);
    if (!options->to.empty()) {
      std::cout << (options->to == "exit-depths" ? export_exit_depths(store, options->steps)
                                                 : export_timings(store, options->to));
      return;
    }
    const auto write = [](const std::string& line) { std::cout << line << '\n'; };
    if (options->probes) {
      export_probes(store, write);
    } else if (options->drift) {
      export_drift(store, write);
    } else {
      export_outputs(store, options->timing, write);
    }
  });
}

}  // namespace skipbench
