#include "eval/sweep/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <utility>

#include "datasets/postprocess.h"
#include "datasets/prompt_template.h"
#include "engine/base/error.h"
#include "eval/metrics/registry.h"
#include "eval/sweep/config_strategies.h"
#include "eval/sweep/matrix.h"
#include "eval/sweep/yaml_section.h"
#include "strategies/plugin.h"

namespace skipbench {
namespace {

// `source`, `jsonl` or `tsv`: exactly one of them.
DataFiles read_files(const YamlSection& section) {
  DataFiles files;
  files.source = section.path("source");
  files.references = section.paths("reference");
  files.jsonl = section.path("jsonl");
  files.tsv = section.path("tsv");
  std::vector<std::string> given;
  for (const char* key : {"source", "jsonl", "tsv"}) {
    if (section.has(key)) given.emplace_back(key);
  }
  if (given.size() != 1) {
    throw Error({.what = "data comes from text files, from JSON lines or from a table",
                 .where = section.where(!given.empty()             ? given.back()
                                        : section.has("reference") ? "reference"
                                                                   : "name"),
                 .expected = "one of `source` (with `reference`), `jsonl` and `tsv`",
                 .got = given.empty() ? "none" : fmt::format("{}", fmt::join(given, " and "))});
  }
  if (given[0] != "source" && section.has("reference")) {
    throw Error({.what = fmt::format("a file of references beside `{}`", given[0]),
                 .where = section.where("reference"),
                 .expected = fmt::format("`reference_fields`: the references are {} of `{}`",
                                         given[0] == "tsv" ? "columns" : "fields", given[0])});
  }
  return files;
}

void check_reference(const YamlSection& section, const DataFiles& files) {
  if (files.source.empty() || !files.references.empty()) return;
  throw Error({.what = "no reference to score against",
               .where = section.where("source"),
               .expected = "`reference`: a file aligned with `source`"});
}

std::vector<FilePlace> places_of(const YamlSection& section, const DataFiles& files) {
  std::vector<FilePlace> places;
  for (const auto& [key, path] :
       {std::pair("source", files.source), {"jsonl", files.jsonl}, {"tsv", files.tsv}}) {
    if (!path.empty()) places.push_back({path, section.where(key)});
  }
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
  const auto given = [&](const char* key) { return section.has(key); };
  if (std::ranges::none_of(std::array{"source", "reference", "jsonl", "tsv"}, given)) {
    return calibration;
  }
  DataFiles own = read_files(section);
  own.source_field = files.source_field;  // the evaluated data's
  own.reference_fields.clear();           // nothing is scored
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
  dataset.files = read_files(section);
  check_reference(section, dataset.files);
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

Sampling read_sampling(const YamlSection& decoding, uint64_t seed) {
  const Sampling sampling{.temperature = decoding.number("temperature"),
                          .top_k = static_cast<int>(decoding.integer("top_k")),
                          .seed = seed};
  check_sampling(sampling, decoding.where(sampling.is_greedy() ? "top_k" : "temperature"));
  return sampling;
}

// With several numbers of beams in the matrix, a point of one beam has no use for the rest.
BeamOptions read_beams(const YamlSection& root, const YamlSection& decoding) {
  const auto count = static_cast<int>(decoding.integer("beams"));
  if (count == 1 && root.section("matrix").has("beams")) return {};
  BeamOptions beams{.beams = count,
                    .length_penalty = decoding.number("length_penalty"),
                    .early_stopping = parse_early_stopping(decoding.text("early_stopping"),
                                                           decoding.where("early_stopping")),
                    .no_repeat_ngram = static_cast<int>(decoding.integer("no_repeat_ngram"))};
  check_beams(beams, decoding.where("beams"));
  return beams;
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
  config.beams = read_beams(root, decoding);
  config.beams_where = decoding.where("beams");
  config.sampling = read_sampling(decoding, static_cast<uint64_t>(config.seed));
  if (config.beams.beams > 1 && !config.sampling.is_greedy()) {
    throw Error({.what = "beam search draws no tokens",
                 .where = decoding.where("temperature"),
                 .expected = "temperature 0, or `beams: 1`"});
  }
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
