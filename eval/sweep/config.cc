#include "eval/sweep/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "datasets/postprocess.h"
#include "datasets/prompt_template.h"
#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "eval/sweep/matrix.h"
#include "eval/sweep/yaml_section.h"
#include "strategies/params.h"
#include "strategies/plugin.h"

namespace skipbench {
namespace {

DataFiles read_files(const YamlSection& section, bool needs_reference) {
  DataFiles files;
  files.source = section.path("source");
  files.references = section.paths("reference");
  files.jsonl = section.path("jsonl");
  if (files.source.empty() == files.jsonl.empty()) {
    throw Error({.what = "data comes from text files or from JSON lines",
                 .where = section.where(files.source.empty() ? "name" : "jsonl"),
                 .expected = "either `source` and `reference`, or `jsonl`",
                 .got = files.source.empty() ? "neither" : "both"});
  }
  if (files.jsonl.empty() && files.references.empty() && needs_reference) {
    throw Error({.what = "no reference to score against",
                 .where = section.where("source"),
                 .expected = "`reference`: a file aligned with `source`"});
  }
  return files;
}

std::vector<FilePlace> places_of(const YamlSection& section, const DataFiles& files) {
  std::vector<FilePlace> places;
  if (!files.source.empty()) places.push_back({files.source, section.where("source")});
  if (!files.jsonl.empty()) places.push_back({files.jsonl, section.where("jsonl")});
  for (const std::string& path : files.references) {
    places.push_back({path, section.where("reference")});
  }
  return places;
}

std::vector<std::string> default_steps(const std::string& task) {
  if (task == "translation") return {"response", "first_line", "strip"};
  return {"response", "strip"};
}

MetricSpec read_metric(const YamlSection::MetricEntry& entry) {
  MetricSpec metric{.name = entry.name, .where = entry.where};
  for (const auto& setting : entry.settings) metric.options[setting.name] = setting.value;
  make_sweep_metric(metric.name, metric.options, metric.where);  // throws for what it cannot use
  return metric;
}

CalibrationSection read_calibration(const YamlSection& dataset, const DataFiles& files) {
  const YamlSection section = dataset.section("calibration");
  CalibrationSection calibration{.limit = section.integer("limit"),
                                 .where = dataset.where("calibration")};
  if (!section.has("source") && !section.has("jsonl")) return calibration;
  DataFiles own = files;  // the field names are the evaluated data's
  own.source = section.path("source");
  own.references = section.paths("reference");
  own.jsonl = section.path("jsonl");
  own.reference_fields.clear();  // nothing is scored
  if (own.source.empty() == own.jsonl.empty()) {
    throw Error({.what = "calibration data comes from `source` or from `jsonl`, not from both",
                 .where = calibration.where});
  }
  calibration.files = own;
  calibration.places = places_of(section, own);
  return calibration;
}

DatasetSection read_dataset(const YamlSection& section) {
  DatasetSection dataset;
  dataset.name = section.text("name");
  dataset.where = section.where("name");
  dataset.task = section.text("task");
  dataset.language = section.text("language");
  dataset.files = read_files(section, /*needs_reference=*/true);
  dataset.places = places_of(section, dataset.files);
  dataset.files.source_field = section.text("source_field");
  dataset.files.reference_fields = section.texts("reference_fields");
  dataset.limit = section.integer("limit");
  dataset.prompt = section.text("prompt");
  dataset.prompt_where = section.where("prompt");
  dataset.instruction = section.text("instruction");
  dataset.chat_template = section.text("chat_template");
  dataset.chat_template_where = section.where("chat_template");
  dataset.system = section.text("system");
  if (!dataset.system.empty() && dataset.chat_template.empty()) {
    throw Error({.what = "a system message needs a chat template",
                 .where = section.where("system"),
                 .expected = "`chat_template` beside it"});
  }
  dataset.add_special = section.text("add_special") == "true";
  dataset.stop = section.texts("stop");
  dataset.post = section.has("post") ? section.texts("post") : default_steps(dataset.task);
  for (const std::string& step : dataset.post) find_postprocess_step(step, section.where("post"));
  for (const auto& entry : section.metrics("metrics"))
    dataset.metrics.push_back(read_metric(entry));
  dataset.calibration = read_calibration(section, dataset.files);
  PromptTemplate(dataset.prompt, dataset.prompt_where);  // throws for bad braces
  return dataset;
}

// Strategies of one name are told apart by the parameters they were given.
std::string default_label(const StrategySection& strategy, bool name_is_unique) {
  if (name_is_unique || strategy.params.empty()) return strategy.name;
  std::string params;
  for (const auto& [name, value] : strategy.params) {
    params += fmt::format("{}{}={}", params.empty() ? "" : ", ", name, value.text);
  }
  return fmt::format("{} ({})", strategy.name, params);
}

StrategySection read_strategy(const YamlSection& section, const YamlSection& root, int64_t seed,
                              const std::string& config_path) {
  StrategySection strategy;
  strategy.name = section.text("name");
  strategy.label = section.text("label");
  strategy.where = section.where("name");
  strategy.seeds = section.integer("seeds");
  strategy.seeds_where = section.where("seeds");
  strategy.adapter = {section.path("adapter"), section.where("adapter")};
  const StrategyInfo& info = find_strategy(strategy.name, strategy.where);
  for (const auto& setting : section.settings("params")) {
    strategy.params[setting.name] = {setting.value, setting.where};
  }
  for (const ParamInfo& param : info.params) {
    const auto given = strategy.params.find(param.name);
    if (param.is_file && given != strategy.params.end()) {
      given->second.text = here_or_beside(given->second.text, config_path);
    }
    if (param.name == "seed" && !strategy.params.contains("seed")) {
      strategy.params["seed"] = {std::to_string(seed), "seed"};
    }
  }
  const bool own = section.has("targets");
  const YamlSection& from = own ? section : root;
  strategy.targets_where = from.where("targets");
  if (!info.uses_target) {
    strategy.targets = {1.0};
    if (!own || strategy.name == "full") return strategy;
    strategy.targets = section.numbers("targets");
    if (strategy.targets.size() == 1) return strategy;
    throw Error(
        {.what = fmt::format("strategy '{}' runs the same layers at every target", strategy.name),
         .where = strategy.targets_where,
         .expected = "the one target that they were chosen for, or no `targets`",
         .got = fmt::format("{} targets", strategy.targets.size())});
  }
  strategy.targets = from.numbers("targets");
  if (strategy.targets.empty()) {
    throw Error({.what = fmt::format("strategy '{}' needs targets", strategy.name),
                 .where = strategy.where,
                 .expected = "`targets: [2, 3, 5]`, common or the strategy's own"});
  }
  return strategy;
}

// One strategy for each of its `seeds`, told apart by their labels.
std::vector<StrategySection> of_each_seed(const StrategySection& strategy) {
  if (strategy.seeds == 1) return {strategy};
  const auto first = strategy.params.find("seed");
  if (first == strategy.params.end()) {
    throw Error({.what = fmt::format("strategy '{}' has no seed", strategy.name),
                 .where = strategy.seeds_where,
                 .expected = "`seeds` at a strategy with a parameter `seed`, such as random"});
  }
  const int seed = param_integer({.name = strategy.name, .params = strategy.params}, "seed", 0, 0,
                                 std::numeric_limits<int>::max() - 1000);
  std::vector<StrategySection> list;
  for (int i = 0; i < strategy.seeds; ++i) {
    StrategySection one = strategy;
    one.group = strategy.label;
    one.params["seed"].text = std::to_string(seed + i);
    one.label = fmt::format("{} seed {}", strategy.label, seed + i);
    list.push_back(std::move(one));
  }
  return list;
}

// A row that says `full` is full.
void check_label(const StrategySection& strategy) {
  if (strategy.label == strategy.name) return;
  const auto names_it = [&](const StrategyInfo& info) { return info.name == strategy.label; };
  if (std::ranges::none_of(strategy_table(), names_it)) return;
  throw Error(
      {.what = fmt::format("'{}' cannot be the label of '{}'", strategy.label, strategy.name),
       .where = strategy.where,
       .expected = "a `label` that is no other strategy's name"});
}

std::vector<StrategySection> read_strategies(const YamlSection& root, int64_t seed,
                                             const std::string& config_path) {
  std::vector<StrategySection> strategies;
  for (const YamlSection& section : root.sections("strategies")) {
    strategies.push_back(read_strategy(section, root, seed, config_path));
  }
  // One label may stand for a strategy with other parameters at other targets.
  std::set<std::pair<std::string, double>> seen;
  for (StrategySection& strategy : strategies) {
    const auto same_name = [&](const StrategySection& s) { return s.name == strategy.name; };
    const bool unique = std::count_if(strategies.begin(), strategies.end(), same_name) == 1;
    if (strategy.label.empty()) strategy.label = default_label(strategy, unique);
    check_label(strategy);
    const std::set<double> targets(strategy.targets.begin(), strategy.targets.end());
    const bool is_new = std::ranges::all_of(
        targets, [&](double target) { return seen.emplace(strategy.label, target).second; });
    if (!is_new) {
      throw Error({.what = fmt::format("strategy '{}' given twice", strategy.label),
                   .where = strategy.where,
                   .hint = "give one of them another `label`, or other `targets`"});
    }
  }
  std::vector<StrategySection> expanded;
  for (const StrategySection& strategy : strategies) {
    const auto list = of_each_seed(strategy);
    expanded.insert(expanded.end(), list.begin(), list.end());
  }
  return expanded;
}

Sampling read_sampling(const YamlSection& decoding, uint64_t seed) {
  const Sampling sampling{.temperature = decoding.number("temperature"),
                          .top_k = static_cast<int>(decoding.integer("top_k")),
                          .seed = seed};
  check_sampling(sampling, decoding.where(sampling.is_greedy() ? "top_k" : "temperature"));
  return sampling;
}

TimingSection read_timing(const YamlSection& root, const std::vector<int64_t>& batch_sizes) {
  const YamlSection section = root.section("timing");
  TimingSection timing;
  timing.repetitions = static_cast<int>(section.integer("repetitions"));
  timing.warmup = static_cast<int>(section.integer("warmup"));
  timing.new_tokens = static_cast<int>(section.integer("new_tokens"));
  timing.prompts = section.integer("prompts");
  timing.where = section.where("prompts");
  if (timing.prompts == 0) {
    timing.prompts = *std::max_element(batch_sizes.begin(), batch_sizes.end());
  }
  for (const int64_t batch : batch_sizes) {
    if (timing.repetitions == 0 || timing.prompts % batch == 0) continue;
    throw Error({.what = "a smaller last batch would be timed as if it were a full one",
                 .where = timing.where,
                 .expected = fmt::format("a multiple of every batch size ({})", batch),
                 .got = std::to_string(timing.prompts)});
  }
  return timing;
}

}  // namespace

int64_t SweepConfig::largest_batch() const {
  return *std::max_element(batch_sizes.begin(), batch_sizes.end());
}

namespace {

SweepConfig read_config(const YamlDocument& document) {
  const YamlSection root = YamlSection::root(document);
  SweepConfig config;
  config.path = document.path;
  config.name = root.text("name");
  config.results = root.path("results");
  config.device = root.text("device");
  config.device_where = root.where("device");
  config.seed = root.integer("seed");

  const YamlSection model = root.section("model");
  config.model = {.path = model.path("path"),
                  .where = model.where("path"),
                  .dtype_name = model.text("dtype"),
                  .tokenizer = model.path("tokenizer"),
                  .tokenizer_where = model.where("tokenizer"),
                  .threads = static_cast<int>(model.integer("threads")),
                  .adapter = {model.path("adapter"), model.where("adapter")}};
  config.model.dtype = parse_activation_dtype(config.model.dtype_name, model.where("dtype"));

  std::set<std::string> names;
  for (const YamlSection& section : root.sections("datasets")) {
    config.datasets.push_back(read_dataset(section));
    if (!names.insert(config.datasets.back().name).second) {
      throw Error({.what = fmt::format("dataset '{}' given twice", config.datasets.back().name),
                   .where = config.datasets.back().where});
    }
  }
  const YamlSection decoding = root.section("decoding");
  config.max_new_tokens = static_cast<int>(decoding.integer("max_new_tokens"));
  config.beams = static_cast<int>(decoding.integer("beams"));
  config.sampling = read_sampling(decoding, static_cast<uint64_t>(config.seed));
  for (const std::string& plugin : root.paths("plugins")) {
    load_strategy_plugin(plugin, root.where("plugins"));
  }
  config.strategies = read_strategies(root, config.seed, config.path);
  config.batch_sizes = root.integers("batch_sizes");
  if (config.batch_sizes.empty()) {
    throw Error({.what = "no batch size", .where = root.where("batch_sizes")});
  }
  config.timing = read_timing(root, config.batch_sizes);
  config.exclude = read_exclude_rules(root);
  check_exclude_rules(config);
  return config;
}

// The parser reads their items where they were put; what is left is what they are called.
void check_defaults(const YamlDocument& document) {
  const YamlSection defaults = YamlSection::root(document).section("defaults");
  for (const char* list : {"datasets", "strategies"}) {
    for (const YAML::Node& node : defaults.nodes(list)) {
      if (!node.IsMap()) {
        throw Error({.what = "not a section",
                     .where = defaults.where(list),
                     .expected = "keys with values"});
      }
    }
  }
}

}  // namespace

std::vector<SweepConfig> load_sweep_variants(const std::string& path,
                                             std::span<const std::string> overrides) {
  const YamlDocument whole = YamlDocument::load(path, overrides);
  check_defaults(whole);
  const auto points = matrix_points(whole);
  std::vector<SweepConfig> variants;
  for (const auto& point : points) {
    YamlDocument document = YamlDocument::load(path, overrides);
    apply_point(document, point);
    SweepConfig config = read_config(document);
    config.variant = point_name(point, points);
    if (!config.excludes_all()) variants.push_back(std::move(config));
  }
  if (variants.empty()) {
    throw Error({.what = "`exclude` leaves nothing of the matrix", .where = path});
  }
  return variants;
}

SweepConfig load_sweep_config(const std::string& path, std::span<const std::string> overrides) {
  std::vector<SweepConfig> variants = load_sweep_variants(path, overrides);
  if (variants.size() == 1) return std::move(variants[0]);
  throw Error({.what = "one configuration was expected",
               .where = path,
               .got = fmt::format("a matrix of {} points", variants.size())});
}

size_t find_dataset(const SweepConfig& config, const std::string& name) {
  std::vector<std::string> known;
  for (size_t i = 0; i < config.datasets.size(); ++i) {
    if (name.empty() || config.datasets[i].name == name) return i;
    known.push_back(config.datasets[i].name);
  }
  throw unknown_name("dataset", name, known, "--dataset");
}

}  // namespace skipbench
