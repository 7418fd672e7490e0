#include "eval/sweep/cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "engine/base/error.h"
#include "engine/base/mapped_file.h"
#include "engine/weights/sha256.h"
#include "eval/sweep/adapters.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;  // keys in sorted order, so that a dump is canonical

std::string canonical(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string digest(const std::string& text) {
  Sha256 hash;
  hash.update(text);
  return hash.hex_digest();
}

// Nothing where decoding is greedy, so that cells stored before there was sampling are found.
void add_sampling(const Sampling& sampling, Json& json) {
  if (sampling.is_greedy()) return;
  json["sampling"] = {
      {"temperature", sampling.temperature}, {"top_k", sampling.top_k}, {"seed", sampling.seed}};
}

void add_build(const SweepConfig& config, const CellContext& context, Json& json) {
  if (!context.quality_build) return;
  const Build& from = *context.quality_build;
  json["decoded_by"] = {from.commit, from.dirty_hash, from.compiler, from.flags,
                        from.instruction_set};
  if (config.device != "cpu") json["decoded_by"].push_back(from.device_name);
}

// As above: nothing without beam search.
void add_beam_search(const BeamOptions& beams, Json& json) {
  if (beams.beams == 1) return;
  json["beam_search"] = {{"beams", beams.beams},
                         {"length_penalty", beams.length_penalty},
                         {"early_stopping", early_stopping_text(beams.early_stopping)},
                         {"no_repeat_ngram", beams.no_repeat_ngram}};
}

class CellMaker {
 public:
  CellMaker(const SweepConfig& config, std::span<const SweepInputs> inputs,
            const CellContext& context)
      : config_(config), inputs_(inputs), context_(context) {}

  std::vector<Cell> make() {
    for (size_t d = 0; d < config_.datasets.size(); ++d) {
      for (size_t s = 0; s < config_.strategies.size(); ++s) {
        const StrategySection& strategy = config_.strategies[s];
        for (const double target : strategy.targets) {
          if (config_.excludes(strategy.label, target, config_.datasets[d].name)) continue;
          add_point(d, s, target);
        }
      }
    }
    return std::move(cells_);
  }

 private:
  void add_point(size_t dataset, size_t strategy, double target) {
    const StrategySection& section = config_.strategies[strategy];
    const StrategyInfo& info = find_strategy(section.name, section.where);
    Cell cell;
    cell.key = {"quality",
                section.label,
                target,
                config_.datasets[dataset].name,
                config_.largest_batch(),
                config_.variant};
    cell.dataset = dataset;
    cell.strategy = strategy;
    cell.spec = with_new_tokens({section.name, target, section.params, section.where},
                                config_.max_new_tokens);
    cell.is_full = !info.uses_target && section.name == "full";
    const double highest = std::max(1.0, context_.num_layers / 2.0);
    if (!(target >= 1.0 && target <= highest)) {
      cell.status = cell_status::kInvalid;
      cell.message = fmt::format("target {} is outside [1, {}] for {} layers", target, highest,
                                 context_.num_layers);
    } else {
      cell.adapter = adapter_folder(config_, section, target);
      cell.calibrated = param_to_calibrate(cell.spec, context_.num_layers);
      if (config_.beams.beams > 1) refuse_beams(cell);
      if (cell.status == cell_status::kPending) check_parameters(cell);
    }
    if (cell.calibrated) {
      Json calibration = point_json(cell);
      calibration["data"] = calibration_data_identity(config_, cell, inputs_[dataset], context_);
      add_build(config_, context_, calibration);
      if (cell.calibrated->name == "threshold") {
        calibration["decoding"] = "own";
        if (config_.device != "cpu") calibration["batch"] = cell.key.batch;
      }
      cell.calibration_identity = digest(canonical(calibration));
    }
    add_quality(cell);
    if (cell.status == cell_status::kInvalid) return;
    for (const int64_t batch : config_.batch_sizes) add_timing(cell, batch);
  }

  // Fails before anything runs; the calibrated value itself comes later.
  void check_parameters(const Cell& cell) const {
    StrategySpec spec = cell.spec;
    if (cell.calibrated) {
      spec.params[cell.calibrated->name] = {cell.calibrated->placeholder, spec.where};
    }
    make_strategy(spec, context_.num_layers);
    if (cell.calibrated && inputs_[cell.dataset].calibration_prompts.empty()) {
      throw Error(
          {.what = fmt::format("dataset '{}' has no examples left to calibrate '{}' on",
                               cell.key.dataset, cell.key.strategy),
           .where = config_.datasets[cell.dataset].calibration.where,
           .expected = "examples that are not evaluated",
           .hint = fmt::format("lower `limit`, give `calibration: {{source: FILE}}`, or the "
                               "strategy's `{}`",
                               cell.calibrated->name)});
    }
  }

  void refuse_beams(Cell& cell) const {
    StrategySpec spec = cell.spec;
    if (cell.calibrated) {
      spec.params[cell.calibrated->name] = {cell.calibrated->placeholder, spec.where};
    }
    const auto strategy = make_strategy(spec, context_.num_layers);
    const bool depends = strategy->rule() != nullptr || strategy->speculation() != nullptr;
    if (!depends) return;
    cell.status = cell_status::kUnsupported;
    cell.message =
        "beam search needs layers that do not depend on the text: decoding.beams must be 1";
  }

  // What every identity of a point holds.
  Json point_json(const Cell& cell) const {
    Json params = Json::object();
    for (const auto& [name, value] : cell.spec.params) params[name] = value.text;
    Json json = {{"model", context_.hash_of(cell)}, {"dtype", config_.model.dtype_name},
                 {"device", config_.device},        {"strategy", cell.spec.name},
                 {"params", std::move(params)},     {"target", cell.spec.target}};
    add_sampling(config_.sampling, json);
    add_beam_search(config_.beams, json);
    // A rebuilt plug-in may decide otherwise: its bytes are part of the strategy.
    const StrategyInfo& info = find_strategy(cell.spec.name, cell.spec.where);
    if (!info.plugin.empty()) json["plugin"] = file_digest(info.plugin);
    for (const ParamInfo& param : info.params) {
      const auto value = cell.spec.params.find(param.name);
      if (!param.is_file || value == cell.spec.params.end()) continue;
      // Its place does not matter, what it holds does. A long text is no path.
      std::error_code not_a_path;
      if (!std::filesystem::is_regular_file(value->second.text, not_a_path)) continue;
      json["params"][param.name] = file_digest(value->second.text);
    }
    return json;
  }

  static std::string file_digest(const std::string& path) {
    Sha256 hash;
    hash.update(MappedFile::open(path)->bytes());
    return hash.hex_digest();
  }

  void add_quality(Cell cell) {
    const DatasetSection& dataset = config_.datasets[cell.dataset];
    Json json = point_json(cell);
    json["kind"] = "quality";
    json["data"] = inputs_[cell.dataset].hash;
    json["max_new_tokens"] = config_.max_new_tokens;
    json["beams"] = config_.beams.beams;
    json["stop"] = dataset.stop;
    json["post"] = dataset.post;
    json["calibration"] = cell.calibration_identity;
    add_build(config_, context_, json);
    // On the CPU a row's bits do not depend on its batch (a law with its own test).
    if (config_.device != "cpu") json["batch"] = cell.key.batch;
    finish(std::move(cell), json);
  }

  void add_timing(Cell cell, int64_t batch) {
    if (config_.timing.repetitions == 0) return;
    if (config_.excludes(cell.key.strategy, cell.key.target, cell.key.dataset, batch)) return;
    const Provenance& from = context_.provenance;
    const auto timed = static_cast<size_t>(config_.timing.prompts);
    const auto& prompts = inputs_[cell.dataset].prompts;
    cell.key.kind = "timing";
    cell.key.batch = batch;
    Json json = point_json(cell);
    json["kind"] = "timing";
    json["data"] = hash_prompts(std::span(prompts).first(std::min(timed, prompts.size())));
    json["batch"] = batch;
    json["new_tokens"] = config_.timing.new_tokens;
    json["repetitions"] = config_.timing.repetitions;
    json["warmup"] = config_.timing.warmup;
    json["calibration"] = cell.calibration_identity;
    json["build"] = {from.commit, from.dirty_hash, from.compiler, from.flags};
    json["machine"] = {from.device, from.device_name, from.cpu, from.threads, from.instruction_set};
    finish(std::move(cell), json);
  }

  void finish(Cell cell, const Json& json) {
    cell.resolved = canonical(json);
    cell.identity = digest(cell.resolved);
    for (const Cell& other : cells_) {
      if (other.identity != cell.identity || other.dataset != cell.dataset) continue;
      throw Error({.what = fmt::format("'{}' and '{}' are the same cell", cell_name(other.key),
                                       cell_name(cell.key)),
                   .where = config_.strategies[cell.strategy].where,
                   .hint = "leave one strategy, target or batch size out"});
    }
    cells_.push_back(std::move(cell));
  }

  const SweepConfig& config_;
  std::span<const SweepInputs> inputs_;
  const CellContext& context_;
  std::vector<Cell> cells_;
};

void check_timed_prompts(const SweepConfig& config, std::span<const SweepInputs> inputs) {
  if (config.timing.repetitions == 0) return;
  for (size_t d = 0; d < inputs.size(); ++d) {
    if (std::ssize(inputs[d].prompts) >= config.timing.prompts) continue;
    throw Error(
        {.what = fmt::format("dataset '{}' has too few prompts to time", config.datasets[d].name),
         .where = config.timing.where,
         .expected = fmt::format("timing.prompts of at most {}", inputs[d].prompts.size()),
         .got = std::to_string(config.timing.prompts),
         .hint = "raise the dataset's `limit`, or use smaller batches"});
  }
}

}  // namespace

std::vector<Cell> make_cells(const SweepConfig& config, std::span<const SweepInputs> inputs,
                             const CellContext& context) {
  check_timed_prompts(config, inputs);
  return CellMaker(config, inputs, context).make();
}

std::string cell_name(const CellKey& key) {
  const std::string point = fmt::format("{} {:g}x, {}{}{}", key.strategy, key.target, key.dataset,
                                        key.variant.empty() ? "" : ", ", key.variant);
  if (key.kind == "quality") return point + ", quality";
  return fmt::format("{}, batch {}", point, key.batch);
}

const std::string& CellContext::hash_of(const Cell& cell) const {
  return cell.adapter.empty() ? model_hash : adapted_hashes.at(cell.adapter);
}

std::string layer_scores_identity(const SweepConfig& config, const Cell& cell,
                                  const SweepInputs& inputs, const CellContext& context,
                                  const Pruning& pruning) {
  Json json = {{"data", calibration_data_identity(config, cell, inputs, context)},
               {"score", layer_score_names()[static_cast<size_t>(pruning.score)]}};
  if (pruning.score == LayerScore::kGreedy) json["kept"] = {pruning.first, pruning.last};
  return digest(canonical(json));
}

std::string calibration_data_identity(const SweepConfig& config, const Cell& cell,
                                      const SweepInputs& inputs, const CellContext& context) {
  Json json = {{"model", context.hash_of(cell)},
               {"dtype", config.model.dtype_name},
               {"device", config.device},
               {"data", inputs.calibration_hash},
               {"max_new_tokens", config.max_new_tokens},
               {"stop", config.datasets[cell.dataset].stop}};
  add_sampling(config.sampling, json);
  add_beam_search(config.beams, json);
  add_build(config, context, json);
  return digest(canonical(json));
}

}  // namespace skipbench
