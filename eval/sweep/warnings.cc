#include "eval/sweep/warnings.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

namespace skipbench {
namespace {

using Json = nlohmann::json;

// The settings that recipes/finetune writes beside an adapter; null where there are none to read.
// Other programs make adapters, too, so nothing here is an error.
Json training_settings(const std::string& folder) {
  std::ifstream file(folder + "/finetune.json");
  const Json json = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return nullptr;
  const auto settings = json.find("settings");
  return settings != json.end() && settings->is_object() ? *settings : Json();
}

template <typename Value>
std::optional<Value> setting(const Json& settings, const char* name) {
  const auto found = settings.find(name);
  if (found == settings.end()) return std::nullopt;
  if constexpr (std::is_same_v<Value, double>) {
    if (!found->is_number()) return std::nullopt;
  } else if (!found->is_string()) {
    return std::nullopt;
  }
  return found->template get<Value>();
}

std::string adapter_warning(const Cell& cell, const DatasetSection& dataset) {
  const Json settings = training_settings(cell.adapter);
  if (settings.is_null()) return "";
  std::string differs;
  const auto add = [&](const std::string& what) {
    differs += (differs.empty() ? "" : ", ") + what;
  };
  const auto strategy = setting<std::string>(settings, "strategy");
  if (strategy && *strategy == "full") return "";  // the same training without skipping
  // A list of layers may be any strategy's.
  if (strategy && *strategy != cell.spec.name && cell.spec.name != "layers") add(*strategy);
  const auto target = setting<double>(settings, "target");
  // Early exit is trained for every depth at once.
  if (target && *target != cell.spec.target && cell.spec.name != "early_exit") {
    add(fmt::format("target {:g}", *target));
  }
  const auto prompt = setting<std::string>(settings, "prompt");
  if (prompt && dataset.chat_template.empty() && *prompt != dataset.prompt) {
    add(fmt::format("prompts {}", Json(*prompt).dump()));
  }
  if (differs.empty()) return "";
  return fmt::format("{} {:g}x on '{}': its adapter {} was trained for {}", cell.key.strategy,
                     cell.key.target, cell.key.dataset, cell.adapter, differs);
}

int longest_skipped_run(const StrategySpec& spec, int num_layers) {
  return make_strategy(spec, num_layers)->step_layers(num_layers, 0).longest_skipped_run();
}

std::string spacing_warning(const Cell& cell, int num_layers) {
  if (cell.spec.name != "unified") return "";
  StrategySpec even = cell.spec;
  even.params["spacing"] = {"even", cell.spec.where};
  const int longest = longest_skipped_run(cell.spec, num_layers);
  const int least = longest_skipped_run(even, num_layers);
  if (longest <= 2 * least) return "";
  return fmt::format(
      "{} {:g}x leaves out {} layers in a row: the authors' rule counts in whole layers, so that "
      "what is left over lies below the last one; with `spacing: even` no run is longer than {}",
      cell.key.strategy, cell.key.target, longest, least);
}

std::string prompts_warning(const DatasetSection& dataset, const SweepInputs& inputs) {
  const auto& prompts = inputs.prompts;
  const auto is_first = [&](const TokenIds& prompt) { return prompt == prompts.front(); };
  if (prompts.size() < 2 || !std::all_of(prompts.begin(), prompts.end(), is_first)) return "";
  return fmt::format("dataset '{}': all {} prompts are the same (prompt: {})", dataset.name,
                     prompts.size(), Json(dataset.prompt).dump());
}

}  // namespace

std::vector<std::string> sweep_warnings(const SweepSetup& setup) {
  std::vector<std::string> warnings;
  const auto add = [&](const std::string& warning) {
    if (!warning.empty() && std::ranges::find(warnings, warning) == warnings.end()) {
      warnings.push_back(warning);
    }
  };
  for (size_t d = 0; d < setup.inputs.size(); ++d) {
    add(prompts_warning(setup.config.datasets[d], setup.inputs[d]));
  }
  for (const Cell& cell : setup.cells) {
    if (cell.key.kind != "quality" || cell.status != cell_status::kPending) continue;
    add(spacing_warning(cell, setup.context.num_layers));
    if (!cell.adapter.empty()) add(adapter_warning(cell, setup.config.datasets[cell.dataset]));
  }
  return warnings;
}

}  // namespace skipbench
