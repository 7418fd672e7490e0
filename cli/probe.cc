// skipbench probe: what each layer does to the hidden state and to the loss, and how far a skipping
// run drifts from the full one.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/probe_texts.h"
#include "engine/base/error.h"
#include "engine/base/mapped_file.h"
#include "engine/weights/load.h"
#include "engine/weights/sha256.h"
#include "eval/probe/divergence.h"
#include "eval/probe/layer_statistics.h"
#include "eval/probe/step_json.h"
#include "eval/provenance.h"
#include "eval/store/probes.h"
#include "eval/sweep/adapters.h"
#include "eval/sweep/interrupt.h"
#include "strategies/adaskip.h"

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;

struct ProbeOptions {
  ProbeTextOptions texts;
  StrategyOptions strategy;
  bool with_strategy = false;
  std::vector<std::string> scores = {"block_influence", "angular", "perplexity"};
  int greedy_layers = 0;
  int protect_first = 4;
  int protect_last = 2;
  int64_t max_steps = 64;
  std::string format = "json";
  std::string results;  // file that keeps them as well; empty: none
};

struct ProbeResult {
  double full_perplexity = 0;
  LayerScores scores;
  std::vector<StepDivergence> steps;
};

bool wants(const ProbeOptions& options, const std::string& score) {
  return std::find(options.scores.begin(), options.scores.end(), score) != options.scores.end();
}

void check_scores(const ProbeOptions& options) {
  for (const std::string& score : options.scores) {
    std::vector<std::string> known = layer_score_names();
    known.emplace_back("sublayers");
    if (std::find(known.begin(), known.end(), score) == known.end()) {
      throw unknown_name("score", score, known, "--scores");
    }
  }
}

// Scores of layers depend on none: what a strategy is told would change nothing.
void check_strategy_is_given(const ProbeOptions& options, const CLI::App& command) {
  if (options.with_strategy) return;
  for (const char* flag : {"--target", "--param"}) {
    const CLI::Option* option = command.get_option(flag);
    if (option->empty()) continue;
    throw strategy_is_missing(flag, option->results().front());
  }
}

// Before the texts are made and the layers scored, which takes minutes.
void check_strategy(const ProbeOptions& options, int num_layers) {
  const StrategySpec spec = with_new_tokens(options.strategy.spec(), /*max_new_tokens=*/1);
  find_strategy(spec.name);
  layer_budget(num_layers, spec.target);
  const auto missing = param_to_calibrate(spec, num_layers);
  const bool is_measured = missing && (missing->name == "order" || missing->name == "scores");
  if (!is_measured) make_strategy(spec, num_layers);
}

// The strategy to compare with `full`; what it leaves to a score is taken from `probe`.
std::unique_ptr<SkipStrategy> strategy_of(const ProbeOptions& options, int num_layers,
                                          int max_new_tokens, LayerProbe& probe,
                                          LayerScores& scores) {
  StrategySpec spec = with_new_tokens(options.strategy.spec(), max_new_tokens);
  find_strategy(spec.name);
  layer_budget(num_layers, spec.target);
  const auto missing = param_to_calibrate(spec, num_layers);
  if (missing && missing->name == "order") {
    const Pruning pruning = pruning_of(spec, num_layers);
    const bool is_greedy = pruning.score == LayerScore::kGreedy;
    LayerScores own = is_greedy ? LayerScores() : scores;
    probe.measure(own, pruning);
    if (!is_greedy) scores = own;
    std::string order;
    for (const int layer : removal_order(pruning, own, num_layers, "--strategy")) {
      order += fmt::format("{}{}", order.empty() ? "" : ",", layer);
    }
    spec.params["order"] = {order, "probe"};
  }
  if (missing && missing->name == "scores") {
    if (scores.attention.similarity.empty()) probe.measure_sublayers(scores);
    AdaSkipScores own;
    own.layers.attention = scores.attention;
    own.layers.mlp = scores.mlp;
    spec.params["scores"] = {adaskip_scores_json(own), "probe"};
  }
  return make_strategy(spec, num_layers);
}

// The adapter of the configuration's entry for the strategy at its target; empty without one.
std::string adapter_of(const ProbeOptions& options, const ProbeInput& input) {
  if (!input.setup || !options.with_strategy) return "";
  const SweepConfig& config = input.setup->config;
  for (const StrategySection& section : config.strategies) {
    if (section.name != options.strategy.name) continue;
    if (std::ranges::find(section.targets, options.strategy.target) == section.targets.end()) {
      continue;
    }
    const std::string folder = adapter_folder(config, section, options.strategy.target);
    return input.setup->adapted.contains(folder) ? folder : "";
  }
  if (!input.setup->adapted.empty()) {
    std::cerr << fmt::format(
        "skipbench probe: the configuration has no {} at target {:g}: its drift is measured "
        "without an adapter\n",
        options.strategy.name, options.strategy.target);
  }
  return "";
}

// `skipping`: the model that the strategy runs; `model` or it with the strategy's adapter.
ProbeResult measure(const ProbeOptions& options, Model& model, Model& skipping,
                    const ProbeTexts& texts) {
  const int num_layers = model.config().num_layers;
  ProbeResult result;
  const InterruptGuard interrupt_guard;
  const auto on_pass = [] {
    if (InterruptGuard::requested()) throw ExitWith{ExitCode::kInterrupted};
  };
  LayerProbe probe(model, texts.requests, options.texts.batch, on_pass);
  result.full_perplexity = probe.perplexity(LayerSet::all(num_layers));
  if (wants(options, "block_influence") || wants(options, "angular")) {
    probe.measure_states(result.scores);
  }
  if (wants(options, "sublayers")) probe.measure_sublayers(result.scores);
  if (wants(options, "perplexity")) probe.measure_perplexity(result.scores);
  if (wants(options, "greedy")) {
    const int most = std::max(0, num_layers - options.protect_first - options.protect_last);
    const int count = options.greedy_layers == 0 ? num_layers / 2 : options.greedy_layers;
    probe.extend_greedy(result.scores, {LayerScore::kGreedy, std::min(count, most),
                                        options.protect_first, options.protect_last});
  }
  if (options.with_strategy) {
    const auto strategy =
        strategy_of(options, num_layers, texts.max_new_tokens, probe, result.scores);
    result.steps = measure_divergence({model, skipping}, *strategy, texts.requests,
                                      options.texts.batch, options.max_steps, on_pass);
  }
  return result;
}

// What was probed.
Json subject_json(const ProbeOptions& options, const ProbeTexts& texts, const LoadedModel& loaded,
                  const std::string& adapter, const std::string& adapted_hash) {
  Json json;
  json["model_hash"] = model_hash(loaded);
  json["layers"] = loaded.config.num_layers;
  json["data"] = {{"texts", texts.requests.size()},
                  {"tokens", texts.num_tokens()},
                  {"predicted_tokens", texts.num_predicted()},
                  {"hash", texts.hash()}};
  if (!options.with_strategy) return json;
  json["strategy"] = {{"name", options.strategy.name}, {"target", options.strategy.target}};
  for (const std::string& param : options.strategy.params) {
    json["strategy"]["params"].push_back(param);
  }
  if (!adapter.empty()) {
    json["strategy"]["adapter"] = adapter;
    json["strategy"]["model_hash"] = adapted_hash;
  }
  return json;
}

Json result_json(Json json, const ProbeOptions& options, const ProbeResult& result) {
  json["perplexity_full"] = result.full_perplexity;
  json["scores"] = Json::parse(layer_scores_json(result.scores));
  if (options.with_strategy) {
    json["steps"] = Json::array();
    for (const StepDivergence& step : result.steps) json["steps"].push_back(step_json(step));
  }
  return json;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// In place of what the same model, texts and settings gave before.
void keep(ResultStore& store, const ProbeOptions& options, const ProbeInput& input,
          const ProbeTexts& texts, Json subject, const std::string& result) {
  const Provenance provenance = collect_provenance(*input.backend);
  subject["settings"] = {
      {"dtype", input.setup ? input.setup->config.model.dtype_name : options.texts.engine.dtype},
      {"device", provenance.device},
      {"scores", options.scores},
      {"greedy", {options.greedy_layers, options.protect_first, options.protect_last}},
      {"max_steps", options.max_steps},
      {"max_new_tokens", texts.max_new_tokens}};
  if (options.with_strategy) {
    // What a file held, whatever it holds the next time.
    const StrategySpec spec = options.strategy.spec();
    for (const ParamInfo& param : find_strategy(spec.name).params) {
      const auto value = spec.params.find(param.name);
      std::error_code no_path;
      if (!param.is_file || value == spec.params.end() ||
          !std::filesystem::is_regular_file(value->second.text, no_path)) {
        continue;
      }
      Sha256 file;
      file.update(MappedFile::open(value->second.text)->bytes());
      subject["settings"]["files"][param.name] = file.hex_digest();
    }
  }
  Sha256 hash;
  hash.update(dump(subject));
  add_probe(store, {.identity = hash.hex_digest(),
                    .command = command_line(),
                    .commit = provenance.commit,
                    .device_name = provenance.device_name,
                    .result = result});
}

void print_csv(const ProbeOptions& options, const ProbeResult& result) {
  std::cout << "measure,step,layer,length,value\n";
  const auto line = [](std::string_view measure, std::string_view step, std::string_view layer,
                       std::string_view length, double value) {
    std::cout << fmt::format("{},{},{},{},{}\n", measure, step, layer, length, value);
  };
  const auto number = [](auto value) { return std::to_string(value); };
  const LayerScores& scores = result.scores;
  line("perplexity_full", "", "", "", result.full_perplexity);
  for (size_t l = 0; l < scores.block_influence.size(); ++l) {
    line("block_influence", "", number(l), "1", scores.block_influence[l]);
  }
  for (size_t n = 0; n < scores.angular.size(); ++n) {
    for (size_t l = 0; l < scores.angular[n].size(); ++l) {
      line("angular", "", number(l), number(n + 1), scores.angular[n][l]);
    }
  }
  for (size_t l = 0; l < scores.perplexity.size(); ++l) {
    line("perplexity", "", number(l), "1", scores.perplexity[l]);
  }
  const auto sublayer_lines = [&](const char* name, const SublayerScores& sublayers) {
    for (size_t l = 0; l < sublayers.similarity.size(); ++l) {
      line(fmt::format("{}_similarity", name), "", number(l), "", sublayers.similarity[l]);
      line(fmt::format("{}_norm_ratio", name), "", number(l), "", sublayers.norm_ratio[l]);
    }
  };
  sublayer_lines("attention", scores.attention);
  sublayer_lines("mlp", scores.mlp);
  for (size_t i = 0; i < scores.greedy.size(); ++i) {
    line("greedy", number(i), number(scores.greedy[i]), "", 0);
  }
  if (!options.with_strategy) return;
  for (size_t i = 0; i < result.steps.size(); ++i) {
    const StepDivergence& step = result.steps[i];
    const std::string name = i == 0 ? "prefill" : number(i - 1);
    line("layers", name, "", "", step.layers);
    line("kl", name, "", "", step.kl);
    line("top1_agreement", name, "", "", step.top1_agreement);
    for (size_t l = 0; l < step.cosine.size(); ++l) {
      line("cosine", name, number(l), "", step.cosine[l]);
      line("norm_ratio", name, number(l), "", step.norm_ratio[l]);
    }
  }
}

void probe(const ProbeOptions& options) {
  if (options.format != "json" && options.format != "csv") {
    throw unknown_name("output format", options.format, std::vector<std::string>{"json", "csv"},
                       "--output");
  }
  check_scores(options);
  std::optional<ResultStore> store;  // first of all: one that cannot be written costs no probing
  if (!options.results.empty()) store.emplace(options.results, OpenMode::kReadWrite);
  const ProbeInput input = open_probe_input(options.texts);
  if (options.with_strategy) check_strategy(options, input.loaded->config.num_layers);
  Model model(*input.loaded, *input.backend);
  const ProbeTexts texts = read_probe_texts(options.texts, input, model);
  const std::string adapter = adapter_of(options, input);
  std::optional<Model> adapted;
  if (!adapter.empty()) adapted.emplace(input.setup->adapted.at(adapter), *input.backend);
  const ProbeResult result = measure(options, model, adapted ? *adapted : model, texts);
  const Json subject = subject_json(options, texts, *input.loaded, adapter,
                                    adapted ? input.setup->context.adapted_hashes.at(adapter) : "");
  const std::string json = dump(result_json(subject, options, result));
  if (store) keep(*store, options, input, texts, subject, json);
  if (options.format == "csv") {
    print_csv(options, result);
  } else {
    std::cout << json << '\n';
  }
  flush_output();
}

}  // namespace

void add_probe(CLI::App& app) {
  const auto options = std::make_shared<ProbeOptions>();
  CLI::App* sub = app.add_subcommand(
      "probe", "Scores of layers, and how far a skipping run drifts from the full one");
  options->texts.add_to(*sub);
  options->strategy.add_to(*sub);
  add_list(*sub, "--scores", options->scores,
           "block_influence, angular, perplexity, greedy, sublayers; with commas between them")
      ->capture_default_str();
  sub->add_option("--greedy-layers", options->greedy_layers,
                  "greedy: layers to remove (0: half of them)")
      ->check(whole_number(0, LayerSet::kMaxLayers))
      ->capture_default_str();
  sub->add_option("--protect-first", options->protect_first, "greedy: first layers that stay")
      ->check(whole_number(0, LayerSet::kMaxLayers))
      ->capture_default_str();
  sub->add_option("--protect-last", options->protect_last, "greedy: last layers that stay")
      ->check(whole_number(0, LayerSet::kMaxLayers))
      ->capture_default_str();
  sub->add_option("--max-steps", options->max_steps, "decoding steps compared under --strategy")
      ->check(whole_number(0, 1 << 20))
      ->capture_default_str();
  sub->add_option("-o,--output", options->format, "json, csv")->capture_default_str();
  sub->add_option("--results", options->results,
                  "keep it in this results file as well (`skipbench export FILE --probes`)");
  sub->footer(
      "Examples:\n  skipbench probe --model models/smollm2-135m --input texts.txt > scores.json\n"
      "  skipbench probe configs/smollm2.yaml --strategy unified --target 2 -o csv");
  sub->callback([options, sub] {
    options->with_strategy = sub->count("--strategy") > 0;
    check_strategy_is_given(*options, *sub);
    probe(*options);
  });
}

}  // namespace skipbench
