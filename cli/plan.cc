// skipbench plan: the layers that a strategy runs, as `logprobs` and `generate` run them.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/options.h"
#include "engine/base/error.h"
#include "engine/weights/load.h"

namespace skipbench {
namespace {

using Json = nlohmann::ordered_json;

struct PlanOptions {
  StrategyOptions strategy;
  int layers = 0;
  std::string model;  // whose layers, in place of `layers`
  int steps = 1;
};

Json set_json(const LayerSet& set) {
  if (set.whole_layers()) return set.layer_list();
  return {{"attention", set.attention_list()}, {"mlp", set.mlp_list()}};
}

// A whole number where no sublayer stands alone.
Json layers_json(const LayerSet& set) {
  const double layers = set.layers();
  return layers == std::floor(layers) ? Json(static_cast<int>(layers)) : Json(layers);
}

Json rule_json(const SkipStrategy& strategy, const SkipRule& rule) {
  constexpr const char* kSignals[] = {"softmax_difference", "top_probability", "entropy", "cosine"};
  constexpr const char* kRowsDone[] = {"auto", "wait", "compact"};
  Json json;
  json["signal"] = kSignals[static_cast<int>(rule.signal)];
  json["threshold"] = rule.threshold_lambda;
  json["batch"] = kRowsDone[static_cast<int>(rule.rows_done)];
  if (rule.action == RuleAction::kSkipMlps) {
    json["action"] = "skip";
    json["place"] = "mlp";
    json["first_layers"] = rule.min_layer;
    json["last_layers"] = rule.last_layers;
    json["warmup_steps"] = rule.warmup_steps;
    json["kv"] = "always written";
    return json;
  }
  json["action"] = "stop";
  json["min_layer"] = rule.min_layer;
  json["exit_interval"] = rule.interval;
  if (!rule.depths.empty()) {
    json["depths"] = {{"replayed_from", rule.depths_from},
                      {"entry", fmt::format("(step + 7 text) mod {}", rule.depths.size())},
                      {"list", rule.depths}};
  }
  if (rule.decay_tau > 0) {
    json["decay_tau"] = rule.decay_tau;
    json["decay_length"] = rule.decay_length;
  }
  json["kv"] = strategy.kv_policy() == KvPolicy::kProject ? "project" : "absent";
  return json;
}

void plan(PlanOptions options) {
  if ((options.layers == 0) == options.model.empty()) {
    throw Error({.what = "a plan is one of a number of layers",
                 .where = "skipbench plan",
                 .expected = "--layers N or --model M",
                 .got = options.layers == 0 ? "neither" : "both"});
  }
  if (!options.model.empty()) options.layers = load_model(options.model).config.num_layers;
  StrategySpec spec = options.strategy.spec();
  const StrategyInfo& info = find_strategy(spec.name);
  Json json;
  const int budget = layer_budget(options.layers, spec.target);  // refuses a bad target
  if (info.is_dynamic && param_to_calibrate(spec, options.layers)) {
    spec.params["threshold"] = {"1", "plan"};  // the rule's other parts do not depend on it
  }
  const auto strategy = make_strategy(spec, options.layers);
  json["prefill"] = set_json(strategy->prefill_layers(options.layers));
  json["budget"] =
      info.uses_target ? Json(budget) : layers_json(strategy->step_layers(options.layers, 0));
  if (const SkipRule* rule = strategy->rule()) {
    json["rule"] = rule_json(*strategy, *rule);
    if (!options.strategy.spec().params.contains("threshold")) json["rule"]["threshold"] = nullptr;
  } else {
    json["steps"] = Json::array();
    int longest = 0;
    for (int step = 0; step < options.steps; ++step) {
      const LayerSet set = strategy->step_layers(options.layers, step);
      json["steps"].push_back(set_json(set));
      longest = std::max(longest, set.longest_skipped_run());
    }
    json["longest_skipped_run"] = longest;
  }
  if (const auto scales = strategy->skip_scales(); !scales.empty()) {
    // Of a skipped sublayer's input.
    Json attention = Json::array(), mlp = Json::array();
    for (size_t i = 0; i < scales.size(); i += 2) {
      attention.push_back(scales[i]);
      mlp.push_back(scales[i + 1]);
    }
    json["skip_scales"] = {{"attention", attention}, {"mlp", mlp}};
  }
  if (const Speculation* speculation = strategy->speculation()) {
    json["speculation"] = {{"draft", set_json(speculation->draft)},
                           {"first_drafted", speculation->first},
                           {"most_drafted", speculation->most},
                           {"stop_below", speculation->stop_below}};
  }
  std::cout << json.dump() << '\n';
}

}  // namespace

void add_plan(CLI::App& app) {
  const auto options = std::make_shared<PlanOptions>();
  CLI::App* command =
      app.add_subcommand("plan", "The layers that a strategy runs in the prompt and in each step");
  command->add_option("--layers", options->layers, "layers of the model")
      ->check(whole_number(1, LayerSet::kMaxLayers));
  command->add_option("-m,--model", options->model, "a model that has them, in place of --layers");
  options->strategy.add_to(*command);
  command->add_option("--steps", options->steps, "decoding steps to print")
      ->check(whole_number(1, 1 << 20))
      ->capture_default_str();
  command->footer(
      "Step 0 is the forward pass that follows the first generated token.\n"
      "Example:\n  skipbench plan --layers 30 --strategy unified --target 3");
  command->callback([options] { plan(*options); });
}

}  // namespace skipbench
