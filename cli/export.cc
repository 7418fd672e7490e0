// skipbench export: raw outputs and drifts of a results file as JSON lines, texts as files.
#include "eval/report/export.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/run_option.h"
#include "engine/base/error.h"
#include "eval/report/export_bench.h"
#include "eval/report/export_depths.h"
#include "eval/report/export_texts.h"

namespace skipbench {
namespace {

void write_texts(ResultStore& store, const std::string& folder, std::optional<int64_t> run) {
  const TextsExport written = export_texts(store, folder, run);
  std::cerr << fmt::format("{} files of outputs in {}, named in {}/index.json\n", written.files,
                           folder, folder);
  if (written.line_breaks > 0) {
    std::cerr << fmt::format("line breaks inside texts, written as blanks: {}\n",
                             written.line_breaks);
  }
  if (written.repeated_references > 0) {
    std::cerr << fmt::format(
        "examples have different numbers of references: {} lines repeat an example's first (BLEU, "
        "chrF and ROUGE stay the same, TER does not)\n",
        written.repeated_references);
  }
  for (const std::string& cell : written.left_out) std::cerr << "left out: " << cell << '\n';
}

void refuse_unread(const CLI::Option& option, const char* needs) {
  if (option.count() == 0) return;
  throw Error({.what = "this export does not read this option",
               .where = option.get_name(),
               .expected = fmt::format("it with {}", needs)});
}

}  // namespace

void add_export(CLI::App& app) {
  struct Options {
    std::string path, to, folder;
    bool outputs = false, timing = false, drift = false, probes = false;
    int64_t steps = 0;
    RunOption run;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand(
      "export", "Every output with its tokens, layers and times, one JSON line each");
  sub->add_option("db", options->path, "results file that `skipbench run` wrote")->required();
  CLI::Option* outputs = sub->add_flag("--outputs", options->outputs, "export the scored outputs");
  const CLI::Option* timing = sub->add_flag(
      "--timing", options->timing, "with --outputs: the timed outputs too, once per repetition");
  CLI::Option* drift =
      sub->add_flag("--drift", options->drift,
                    "per cell and step the hidden states and distributions against full's")
          ->excludes(outputs);
  CLI::Option* probes =
      sub->add_flag("--probes", options->probes, "what `skipbench probe --results` kept")
          ->excludes(outputs)
          ->excludes(drift);
  sub->add_option("--to", options->to,
                  "texts: the scored outputs and references as text files in the folder of -o; "
                  "llama-bench or google-benchmark: the timings as that program's JSON; "
                  "exit-depths: early_exit's layers per step, which its `depths` replays")
      ->excludes(outputs)
      ->excludes(drift)
      ->excludes(probes);
  sub->add_option("-o,--output", options->folder, "texts: the folder to make, or an empty one");
  const CLI::Option* steps =
      sub->add_option(
             "--steps", options->steps,
             "exit-depths: as many decoding steps in a row, those whose mean is nearest to "
             "the budget; 0: all")
          ->check(whole_number(0, 1 << 16))
          ->capture_default_str();
  const CLI::Option* run = options->run.add_to(*sub, "what is exported");
  sub->footer(
      "Examples:\n  skipbench export results/quickstart.db --outputs > outputs.jsonl\n"
      "  skipbench export results/quickstart.db --to texts -o texts");
  sub->callback([options, timing, steps, run] {
    if (!options->outputs && !options->drift && !options->probes && options->to.empty()) {
      throw CLI::RequiredError("--outputs, --drift, --probes or --to");
    }
    if (!options->outputs) refuse_unread(*timing, "--outputs");
    if (options->to != "exit-depths") refuse_unread(*steps, "--to exit-depths");
    if (options->probes) refuse_unread(*run, "another export than --probes, which are of no run");
    const std::optional<int64_t> wanted = options->run.number();
    const bool texts = options->to == "texts";
    if (texts && options->folder.empty()) throw CLI::RequiredError("-o, the folder of the texts,");
    if (!texts && !options->folder.empty()) {
      throw Error({.what = "only texts are written into a folder",
                   .where = "-o",
                   .expected = "--to texts",
                   .hint = "the other exports go to standard output"});
    }
    ResultStore store(options->path, OpenMode::kReadOnly);
    if (texts) return write_texts(store, options->folder, wanted);
    if (!options->to.empty()) {
      std::cout << (options->to == "exit-depths" ? export_exit_depths(store, options->steps, wanted)
                                                 : export_timings(store, options->to, wanted));
      return;
    }
    const auto write = [](const std::string& line) { std::cout << line << '\n'; };
    if (options->probes) {
      export_probes(store, write);
    } else if (options->drift) {
      export_drift(store, write, wanted);
    } else {
      export_outputs(store, options->timing, write, wanted);
    }
  });
}

}  // namespace skipbench
