// skipbench run: a sweep from its configuration to its table.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/sweep_options.h"
#include "eval/report/render.h"
#include "eval/sweep/interrupt.h"
#include "eval/sweep/reuse.h"
#include "eval/sweep/runner.h"
#include "eval/sweep/shard.h"

namespace skipbench {
namespace {

struct RunCommand {
  SweepCommandOptions sweep;
  bool fresh = false;
  bool reuse_quality = false;
  std::string shard = "1/1";
  bool dry_run = false;
  std::string format = "md";
};

// With the status that the results file has for them, if there is one.
void list_cells(const SweepSetup& setup, const std::vector<bool>& ours, ResultStore* store) {
  for (size_t i = 0; i < setup.cells.size(); ++i) {
    if (!ours[i]) continue;
    const Cell& cell = setup.cells[i];
    const auto stored = store != nullptr ? store->find_cell(cell.identity) : std::nullopt;
    nlohmann::ordered_json json;
    json["kind"] = cell.key.kind;
    json["strategy"] = cell.key.strategy;
    json["target"] = cell.key.target;
    json["dataset"] = cell.key.dataset;
    json["batch"] = cell.key.batch;
    if (!cell.key.variant.empty()) json["variant"] = cell.key.variant;
    json["status"] = stored ? stored->status : cell.status;
    json["message"] = stored ? stored->message : cell.message;
    json["identity"] = cell.identity;
    std::cout << json.dump() << '\n';
  }
}

void list_all_cells(std::vector<SweepSetup>& variants, Shard shard, bool reuse_quality) {
  const std::string& results = variants.front().config.results;
  std::optional<ResultStore> store;
  if (std::filesystem::exists(results)) store.emplace(results, OpenMode::kReadOnly);
  if (store) take_over_quality(*store, variants, reuse_quality);
  const auto ours = cells_of_shard(variants, shard);
  size_t listed = 0, all = 0;
  for (size_t v = 0; v < variants.size(); ++v) {
    list_cells(variants[v], ours[v], store ? &*store : nullptr);
    listed += static_cast<size_t>(std::ranges::count(ours[v], true));
    all += ours[v].size();
  }
  if (shard.count > 1) {
    std::cerr << fmt::format("shard {}/{}: {} of {} cells\n", shard.index, shard.count, listed,
                             all);
  }
}

void run(const RunCommand& command) {
  const InterruptGuard interrupt_guard;  // from here on ^C ends with code 3
  // Checks the format before hours of work.
  render_table(ResultTable(), command.format);
  const Shard shard = parse_shard(command.shard);
  std::vector<SweepSetup> variants = prepare_sweeps(command.sweep.load());
  if (command.dry_run) return list_all_cells(variants, shard, command.reuse_quality);
  if (InterruptGuard::requested()) throw ExitWith{ExitCode::kInterrupted};
  const SweepOptions options{.reuse_quality = command.reuse_quality,
                             .fresh = command.fresh,
                             .shard = shard,
                             .command = command_line(),
                             .log = &std::cerr,
                             .log_is_terminal = isatty(STDERR_FILENO) != 0};
  const SweepOutcome outcome = run_sweep(variants, options);
  ResultStore store(variants.front().config.results, OpenMode::kReadOnly);
  std::cout << render_table(load_result_table(store), command.format) << std::flush;
  if (outcome == SweepOutcome::kInterrupted) throw ExitWith{ExitCode::kInterrupted};
  if (outcome == SweepOutcome::kSomeFailed) throw ExitWith{ExitCode::kCellFailed};
}

}  // namespace

void add_run(CLI::App& app) {
  const auto command = std::make_shared<RunCommand>();
  CLI::App* sub = app.add_subcommand("run", "Run a sweep; goes on where an earlier run ended");
  command->sweep.add_to(*sub);
  CLI::Option* fresh =
      sub->add_flag("--fresh", command->fresh, "forget the results so far and start over");
  sub->add_flag("--reuse-quality", command->reuse_quality,
                "take over the quality that another build of the program decoded; timings are of "
                "this build in any case")
      ->excludes(fresh);
  sub->add_option("--shard", command->shard,
                  "I/N: run the I-th of N parts; each writes a results file of its own (--set "
                  "results=PATH), joined by `skipbench merge`");
  sub->add_flag("--dry-run", command->dry_run,
                "list the cells as JSON lines and run nothing; with --shard those of the part");
  sub->add_option("-o,--output", command->format, "of the table: md, latex, csv, json")
      ->capture_default_str();
  sub->footer(
      "Example:\n  skipbench run configs/quickstart.yaml --set 'datasets.tatoeba de-en.limit=64'\n"
      "Exit codes: 0 done, 1 some cell failed or none can run, 2 wrong input, 3 interrupted (run "
      "again to go on).");
  sub->callback([command] { run(*command); });
}

}  // namespace skipbench
