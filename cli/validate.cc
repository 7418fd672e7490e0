// skipbench validate: everything that can be wrong with a sweep, before anything runs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/sweep_options.h"
#include "eval/sweep/setup.h"

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;

Json described(const SweepSetup& setup) {
  Json json;
  if (!setup.config.variant.empty()) json["variant"] = setup.config.variant;
  json["model"] = setup.config.model.path;
  json["layers"] = setup.context.num_layers;
  for (size_t d = 0; d < setup.inputs.size(); ++d) {
    json["datasets"].push_back({{"name", setup.config.datasets[d].name},
                                {"examples", setup.inputs[d].prompts.size()},
                                {"calibration", setup.inputs[d].calibration_prompts.size()}});
  }
  json["cells"] = setup.cells.size();
  return json;
}

void add_warnings(const SweepSetup& setup, Json& warnings) {
  const auto is_full = [](const Cell& cell) { return cell.is_full; };
  if (setup.config.timing.repetitions > 0 &&
      std::none_of(setup.cells.begin(), setup.cells.end(), is_full)) {
    warnings.push_back("without `full` among the strategies there are no speedups");
  }
  for (const std::string& warning : setup.warnings) {
    if (std::find(warnings.begin(), warnings.end(), warning) == warnings.end()) {
      warnings.push_back(warning);
    }
  }
  for (const Cell& cell : setup.cells) {
    if (cell.status == cell_status::kPending) continue;
    warnings.push_back(cell_name(cell.key) + ": " + cell.status + ": " + cell.message);
  }
}

void validate(const SweepCommandOptions& options) {
  const std::vector<SweepSetup> variants = prepare_sweeps(options.load());
  const SweepConfig& config = variants.front().config;
  Json json = {{"config", config.path}, {"results", config.results}};
  if (variants.size() == 1) {
    json.update(described(variants[0]));
  } else {
    for (const SweepSetup& setup : variants) json["variants"].push_back(described(setup));
  }
  Json warnings = Json::array();
  bool can_run = false;
  for (const SweepSetup& setup : variants) {
    add_warnings(setup, warnings);
    can_run = can_run || std::any_of(setup.cells.begin(), setup.cells.end(), [](const Cell& cell) {
                return cell.status == cell_status::kPending;
              });
  }
  json["warnings"] = warnings;
  std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
  if (!can_run) throw ExitWith{ExitCode::kCellFailed};
}

}  // namespace

void add_validate(CLI::App& app) {
  const auto options = std::make_shared<SweepCommandOptions>();
  CLI::App* sub = app.add_subcommand(
      "validate", "Check a sweep's configuration, model, data and strategies; run nothing");
  options->add_to(*sub);
  sub->footer(
      "Example:\n  skipbench validate configs/quickstart.yaml\n"
      "Exit codes: 0 it can run, 1 no cell of it can, 2 wrong input.");
  sub->callback([options] { validate(*options); });
}

}  // namespace skipbench
