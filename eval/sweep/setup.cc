#include "eval/sweep/setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "engine/base/error.h"
#include "engine/weights/adapter.h"
#include "engine/weights/load.h"
#include "eval/metrics/registry.h"
#include "eval/metrics/text_fit.h"
#include "eval/sweep/adapters.h"
#include "eval/sweep/warnings.h"
#include "eval/weight_types.h"

namespace skipbench {
namespace {

// A synthetic model whose name gives no seed takes the sweep's.
std::string model_name(const SweepConfig& config) {
  const std::string& path = config.model.path;
  const bool is_synthetic = path.starts_with("synthetic:");
  const bool has_seed = path.find(':', path.find(':') + 1) != std::string::npos;
  if (!is_synthetic || has_seed || config.seed == 0) return path;
  return path + ":" + std::to_string(config.seed);
}

// Errors of `load` also name the key of the configuration that asked for it.
template <typename Load>
auto asked_for_by(const std::string& key, Load load) {
  try {
    return load();
  } catch (const Error& error) {
    ErrorParts parts = error.parts();
    const bool is_option = parts.where.starts_with("--");  // of commands without a configuration
    parts.where = parts.where.empty() || is_option ? key : key + ": " + parts.where;
    throw Error(std::move(parts));
  }
}

// The model with each adapter of the sweep. The model itself gets the types that adapted matrices
// have, so that its speed is measured with the same weights.
void load_adapted(SweepSetup& setup) {
  for (const std::string& folder : adapter_folders(setup.config, setup.loaded.config.num_layers)) {
    LoadedModel& adapted = setup.adapted[folder] = setup.loaded;
    merge_adapter(adapted, folder);
    setup.context.adapted_hashes[folder] = model_hash(adapted);
    setup.context.weight_types[folder] = weight_types(adapted.weights);
  }
  for (const auto& [folder, adapted] : setup.adapted) {
    merge_adapter(setup.loaded, folder, AdapterUse::kTypesOnly);
  }
  setup.context.weight_types[""] = weight_types(setup.loaded.weights);
}

void load_models(SweepSetup& setup, LatestModel& latest) {
  const ModelSection& section = setup.config.model;
  const std::string name = model_name(setup.config);
  if (latest.name != name) {
    latest = {};  // the last one goes before the next one comes
    latest.loaded = asked_for_by(section.where, [&] { return load_model(name); });
    latest.name = name;
  }
  setup.loaded = latest.loaded;
  load_adapted(setup);
  setup.has_models = true;
}

// Throws Error for a metric whose tokenizer does not split the data set's references.
void check_metrics(const DatasetSection& dataset, const SweepInputs& inputs,
                   std::vector<std::string>& warnings) {
  const TextProfile profile = profile_texts(inputs.references);
  for (const MetricSpec& spec : dataset.metrics) {
    const auto metric = make_sweep_metric(spec.name, spec.options, spec.where);
    const FitRequest fit{
        .metric = spec.name,
        .language = dataset.language,
        .forced = spec.options.contains("tokenize"),
        .where = spec.where,
        .hint =
            "`tokenize: 13a` written out scores it all the same; where the text is of another "
            "language, `language` at the data set says so"};
    for (const std::string& warning :
         {check_fit(*metric, fit, profile),
          check_segmented_alike(*metric, fit, profile, nullptr, "the outputs")}) {
      if (!warning.empty()) {
        warnings.push_back(fmt::format("dataset '{}': {}", dataset.name, warning));
      }
    }
  }
}

SweepSetup prepare(SweepConfig config, LatestModel& latest) {
  SweepSetup setup;
  setup.config = std::move(config);
  const SweepConfig& sweep = setup.config;
  load_models(setup, latest);
  check_beam_candidates(sweep.beams, setup.loaded.config.end_of_text_ids.size(),
                        setup.loaded.config.vocab_size, sweep.beams_where);
  const bool own_tokenizer = sweep.model.tokenizer.empty();
  setup.tokenizer = asked_for_by(
      own_tokenizer ? sweep.model.where : sweep.model.tokenizer_where,
      [&] { return load_tokenizer(own_tokenizer ? sweep.model.path : sweep.model.tokenizer); });
  setup.backend = asked_for_by(sweep.device_where, [&] {
    return make_backend({sweep.device, sweep.model.dtype, sweep.model.threads});
  });
  const bool is_timed = sweep.timing.repetitions > 0;
  const int new_tokens = std::max(sweep.max_new_tokens, is_timed ? sweep.timing.new_tokens : 0);
  for (const DatasetSection& dataset : sweep.datasets) {
    setup.inputs.push_back(
        load_inputs(dataset, *setup.tokenizer, sweep.model.path, setup.loaded.config, new_tokens));
    check_metrics(dataset, setup.inputs.back(), setup.warnings);
  }
  setup.context.model_hash = model_hash(setup.loaded);
  setup.context.num_layers = setup.loaded.config.num_layers;
  setup.context.provenance = collect_provenance(*setup.backend);
  setup.context.quality_build = build_of(setup.context.provenance);
  setup.cells = make_cells(sweep, setup.inputs, setup.context);
  std::ranges::move(sweep_warnings(setup), std::back_inserter(setup.warnings));
  return setup;
}

}  // namespace

void SweepSetup::release_models() {
  adapted.clear();
  LoadedModel empty;
  empty.config = loaded.config;
  loaded = std::move(empty);
  has_models = false;
}

void SweepSetup::ensure_models(LatestModel& latest) {
  if (has_models) return;
  const CellContext before = context;
  load_models(*this, latest);
  if (model_hash(loaded) == before.model_hash && context.adapted_hashes == before.adapted_hashes) {
    return;
  }
  throw Error({.what = "the model or an adapter has changed since the sweep began",
               .where = config.model.where + ": " + config.model.path,
               .hint = "run the sweep again"});
}

SweepSetup prepare_sweep(SweepConfig config) {
  LatestModel latest;
  return prepare(std::move(config), latest);
}

std::vector<SweepSetup> prepare_sweeps(std::vector<SweepConfig> variants) {
  LatestModel latest;
  std::vector<SweepSetup> setups;
  const bool several = variants.size() > 1;
  for (SweepConfig& config : variants) {
    setups.push_back(prepare(std::move(config), latest));
    if (several) setups.back().release_models();
  }
  return setups;
}

}  // namespace skipbench
