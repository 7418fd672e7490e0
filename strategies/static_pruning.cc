// static_pruning: N - K layers are removed from the model, for prompts too. Which ones: an order of
// removal that is given, as papers print it, or one by a score (strategies/layer_scores.h cites the
// papers). Layers at both ends are kept, as Kim et al. (first 4, last 2) and Song et al. (one each)
// do; with few layers left, one each.
#include <fmt/format.h>

#include "engine/base/error.h"
#include "strategies/constant_sets.h"
#include "strategies/layer_scores.h"
#include "strategies/params.h"

namespace skipbench {
namespace {

// Index 0 of `score`; the scores of layer_score_names() follow.
size_t score_choice(const StrategySpec& spec) {
  std::vector<std::string> choices = {"list"};
  choices.insert(choices.end(), layer_score_names().begin(), layer_score_names().end());
  return param_choice(spec, "score", choices, 0);
}

LayerSet without(int num_layers, const std::vector<int>& removed) {
  LayerSet set = LayerSet::all(num_layers);
  for (int layer : removed) set.set_layer(layer, false);
  return set;
}

std::string where_of(const StrategySpec& spec, const std::string& param) {
  if (has_param(spec, param)) return spec.params.at(param).where;
  return spec.where.empty() ? "--strategy static_pruning" : spec.where;
}

// The first `count` of the list `order`.
std::vector<int> listed_removals(const StrategySpec& spec, int num_layers, int count) {
  if (count == 0 && !has_param(spec, "order")) return {};
  std::vector<int> order = param_layers(spec, "order", num_layers);
  if (std::ssize(order) < count) {
    throw Error({.what = "static_pruning needs an order of removal that is long enough",
                 .where = where_of(spec, "order"),
                 .expected = fmt::format("`order`: at least {} layers in [0, {}], the first to go "
                                         "first",
                                         count, num_layers - 1),
                 .got = fmt::format("{}", order.size())});
  }
  order.resize(static_cast<size_t>(count));
  return order;
}

// `scores`: numbers as written, or the file that `skipbench probe` printed.
LayerScores given_scores(const StrategySpec& spec, LayerScore score) {
  const ParamValue& value = spec.params.at("scores");
  if (value.text.find_first_not_of("0123456789.,+-eE[] ") != std::string::npos) {
    return read_layer_scores(value.text, value.where);
  }
  LayerScores scores;
  if (score == LayerScore::kBlockInfluence) {
    scores.block_influence = param_numbers(spec, "scores");
  } else if (score == LayerScore::kPerplexity) {
    scores.perplexity = param_numbers(spec, "scores");
  } else {
    throw Error(
        {.what = "a list of scores does for block_influence and perplexity only",
         .where = value.where,
         .expected = "for angular a file of `skipbench probe`; for greedy that, or `order`"});
  }
  return scores;
}

std::vector<int> removals(const StrategySpec& spec, int num_layers, int count) {
  if (score_choice(spec) == 0 || has_param(spec, "order")) {
    return listed_removals(spec, num_layers, count);
  }
  const Pruning pruning = pruning_of(spec, num_layers);
  if (count == 0) return {};
  if (!has_param(spec, "scores")) {
    throw Error({.what = "static_pruning by a score needs the scores",
                 .where = where_of(spec, "score"),
                 .expected = "`scores`: the JSON that `skipbench probe` prints",
                 .hint = "skipbench probe --model MODEL --input TEXTS > scores.json; or let "
                         "`skipbench run` measure them on a dataset's calibration split"});
  }
  return removal_order(pruning, given_scores(spec, pruning.score), num_layers,
                       spec.params.at("scores").where);
}

std::optional<CalibratedParam> calibrates(const StrategySpec& spec, int num_layers) {
  const int count = num_layers - layer_budget(num_layers, spec.target, spec.where);
  if (score_choice(spec) == 0 || has_param(spec, "scores") || has_param(spec, "order") ||
      count == 0) {
    return std::nullopt;
  }
  return CalibratedParam{"order", fmt::format("1-{}", count)};
}

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  const int budget = layer_budget(num_layers, spec.target, spec.where);
  const bool full_prefill = param_choice(spec, "prefill", {"pruned", "full"}, 0) == 1;
  const LayerSet set = without(num_layers, removals(spec, num_layers, num_layers - budget));
  return std::make_unique<ConstantSets>(full_prefill ? LayerSet::all(num_layers) : set, set);
}

}  // namespace

Pruning pruning_of(const StrategySpec& spec, int num_layers) {
  const int budget = layer_budget(num_layers, spec.target, spec.where);
  const size_t choice = score_choice(spec);
  Pruning pruning;
  pruning.score = static_cast<LayerScore>(choice == 0 ? 0 : choice - 1);
  pruning.count = num_layers - budget;
  const bool many = budget >= 8;
  pruning.first = param_integer(spec, "protect_first", many ? 4 : std::min(1, budget), 0, budget);
  const int left = budget - pruning.first;
  pruning.last = param_integer(spec, "protect_last", std::min(many ? 2 : 1, left), 0, left);
  return pruning;
}

StrategyInfo describe_static_pruning() {
  return {
      .name = "static_pruning",
      .summary = "layers are gone, for prompts too",
      .paper =
          "Men et al. 2024 (ShortGPT), arXiv 2403.03853; Gromov et al. 2024, arXiv 2403.17887; "
          "Kim et al. 2024 (Shortened LLaMA), arXiv 2402.02834; Song et al. 2024 (SLEB), arXiv "
          "2402.09025",
      .kv_policy = "absent (a removed layer has no cache at all)",
      .needs_training = true,
      .params = {{"score", "list", "list, block_influence, angular, perplexity, greedy",
                  "how the layers to remove are found: as listed, least influence, the nearest "
                  "contiguous block, least perplexity without the layer, or that one by one"},
                 {"order", "", "layers in [0, N - 1]",
                  "list: the layers in the order of removal, at least N - K of them"},
                 {.name = "scores",
                  .default_text = "measured",
                  .range = "a file, or N numbers",
                  .help = "what `skipbench probe` printed, or block_influence or perplexity of "
                          "each layer; a sweep measures it on the calibration split",
                  .is_file = true},
                 {"protect_first", "4, with K < 8 1", "[0, K]", "first layers that a score keeps"},
                 {"protect_last", "2, with K < 8 1", "[0, K - protect_first]",
                  "last layers that a score keeps"},
                 {"prefill", "pruned", "pruned, full", "whether prompts lose the layers as well"}},
      .make = make,
      .calibrates = calibrates};
}

}  // namespace skipbench
