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

void validate(const SweepCommandOptions& options) {
  const SweepSetup setup = prepare_sweep(options.load());
  Json json;
  json["config"] = setup.config.path;
  json["model"] = setup.config.model.path;
  json["layers"] = setup.context.num_layers;
  json["results"] = setup.config.results;
  for (size_t d = 0; d < setup.inputs.size(); ++d) {
    json["datasets"].push_back({{"name", setup.config.datasets[d].name},
                                {"examples", setup.inputs[d].prompts.size()},
                                {"calibration", setup.inputs[d].calibration_prompts.size()}});
  }
  Json warnings = Json::array();
  const auto is_full = [](const Cell& cell) { return cell.is_full; };
  if (setup.config.timing.repetitions > 0 &&
      std::none_of(setup.cells.begin(), setup.cells.end(), is_full)) {
    warnings.push_back("without `full` among the strategies there are no speedups");
  }
  for (const Cell& cell : setup.cells) {
    if (cell.status == cell_status::kPending) continue;
    warnings.push_back(cell_name(cell.key) + ": " + cell.status + ": " + cell.message);
  }
  json["cells"] = setup.cells.size();
  json["warnings"] = warnings;
  std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

}  // namespace

void add_validate(CLI::App& app) {
  const auto options = std::make_shared<SweepCommandOptions>();
  CLI::App* sub = app.add_subcommand(
      "validate", "Check a sweep's configuration, model, data and strategies; run nothing");
  options->add_to(*sub);
  sub->footer("Example:\n  skipbench validate configs/quickstart.yaml");
  sub->callback([options] { validate(*options); });
}

}  // namespace skipbench
