// adaskip: He et al. 2025, "AdaSkip: Adaptive Sublayer Skipping for Accelerating Long-Context LLM
// Inference", arXiv 2501.02336. Attention and MLP of a layer are skipped separately, those first
// whose output is most like their input during prefill; what is skipped passes its input on, times
// the ratio of the norms. From the 20th decoding step on more MLPs are skipped. Where the paper
// learns from the text at hand, similarities are measured once on calibration texts here, so that a
// plan depends on parameters alone; and prompts run all layers, as under every strategy.
#include "strategies/adaskip.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "strategies/constant_sets.h"
#include "strategies/params.h"

namespace skipbench {
namespace {

using Json = nlohmann::json;

constexpr double kTolerance = 0.01;  // of the budget

// A sublayer of an order of removal: 2 * layer for an attention, 2 * layer + 1 for an MLP.
bool is_mlp(int sublayer) { return sublayer % 2 == 1; }

class AdaSkip final : public SkipStrategy {
 public:
  AdaSkip(LayerSet early, LayerSet late, int early_steps, std::vector<float> scales)
      : early_(early), late_(late), early_steps_(early_steps), scales_(std::move(scales)) {}

  LayerSet step_layers(int /*num_layers*/, int step) const override {
    return step < early_steps_ ? early_ : late_;
  }
  // The late set is a part of the early one.
  LayerSet any_step_layers(int /*num_layers*/) const override { return early_; }
  bool sets_can_grow() const override { return false; }
  std::span<const float> skip_scales() const override { return scales_; }

 private:
  LayerSet early_;
  LayerSet late_;
  int early_steps_;
  std::vector<float> scales_;  // [2N], empty: input passes through
};

// Most alike first; ties go to the lower sublayer.
std::vector<int> removal_order(const LayerScores& scores) {
  std::vector<double> similarity;
  for (size_t layer = 0; layer < scores.attention.similarity.size(); ++layer) {
    similarity.push_back(scores.attention.similarity[layer]);
    similarity.push_back(scores.mlp.similarity[layer]);
  }
  std::vector<int> order(similarity.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return similarity[a] > similarity[b]; });
  return order;
}

struct Split {
  int early = 0;      // sublayers skipped from the first step on
  int more_mlps = 0;  // skipped as well once early_steps are over
};

// Sublayers that are skipped so that the mean over all steps is `skips`. `wanted` MLPs more, or the
// nearest number with which the mean can be within 1 % of `budget` sublayers; where it `is_given`,
// `wanted` or as many as are left.
Split split_of(int skips, double share, int budget, int wanted, bool is_given,
               const std::vector<int>& order) {
  Split best{skips, 0};
  double least = -1;
  const int most = static_cast<int>(order.size());
  for (int distance = 0; distance <= most; ++distance) {
    for (const int more : {wanted + distance, wanted - distance}) {
      if (more < (is_given ? 0 : 1) || (is_given && more > wanted)) continue;
      const int early = std::max(0, static_cast<int>(std::floor(skips - share * more + 0.5)));
      const auto left = std::count_if(order.begin() + early, order.end(), is_mlp);
      if (more > left) continue;
      if (is_given) return {early, more};
      const double error = std::abs(early + share * more - skips);
      if (least >= 0 && error >= least) continue;
      best = {early, more};
      least = error;
      if (error <= kTolerance * budget) return best;
    }
  }
  return best;
}

AdaSkipScores given_scores(const StrategySpec& spec, int num_layers) {
  const ParamValue& value = spec.params.at("scores");
  AdaSkipScores scores;
  if (value.text.find('{') == std::string::npos) {
    scores.layers = read_layer_scores(value.text, value.where);
  } else {
    scores.layers = parse_layer_scores(value.text, value.where);
    const Json json = Json::parse(value.text, nullptr, /*allow_exceptions=*/false);
    if (json.contains("late_share")) {
      const Json& share = json["late_share"];
      if (!share.is_number() || share.get<double>() < 0 || share.get<double>() > 1) {
        throw Error({.what = "`late_share` is no share",
                     .where = value.where,
                     .expected = "a number in [0, 1]",
                     .got = share.dump()});
      }
      scores.late_share = share.get<double>();
    }
  }
  const auto layers = static_cast<size_t>(num_layers);
  for (const SublayerScores* kind : {&scores.layers.attention, &scores.layers.mlp}) {
    const bool attention = kind == &scores.layers.attention;
    if (kind->similarity.size() == layers && kind->norm_ratio.size() == layers) continue;
    throw Error({.what = fmt::format("scores of the {} do not fit the model",
                                     attention ? "attentions" : "MLPs"),
                 .where = value.where,
                 .expected = fmt::format("`{}` with {} numbers each of similarity and norm_ratio",
                                         attention ? "attention" : "mlp", num_layers),
                 .got = fmt::format("{} and {}", kind->similarity.size(), kind->norm_ratio.size()),
                 .hint = "skipbench probe --scores sublayers prints them"});
  }
  for (const SublayerScores* kind : {&scores.layers.attention, &scores.layers.mlp}) {
    for (const double ratio : kind->norm_ratio) {
      if (ratio >= 0 && ratio <= std::numeric_limits<float>::max()) continue;
      throw Error({.what = "a ratio of norms is out of range",
                   .where = value.where,
                   .expected = "a number from 0 that f32 holds",
                   .got = fmt::format("{}", ratio)});
    }
  }
  return scores;
}

std::vector<float> scales_of(const LayerScores& scores) {
  std::vector<float> scales;
  for (size_t layer = 0; layer < scores.attention.norm_ratio.size(); ++layer) {
    scales.push_back(static_cast<float>(scores.attention.norm_ratio[layer]));
    scales.push_back(static_cast<float>(scores.mlp.norm_ratio[layer]));
  }
  return scales;
}

// Steps of texts of so many decoding steps that come late.
double share_of(const StrategySpec& spec, const AdaSkipScores& scores, int early_steps) {
  if (!has_param(spec, "expected_length") && scores.late_share) return *scores.late_share;
  const int64_t steps[] = {param_integer(spec, "expected_length", 64, 2, 1 << 20) - 1};
  return late_share(steps, early_steps);
}

int skipped_sublayers(const StrategySpec& spec, int num_layers) {
  return 2 * (num_layers - layer_budget(num_layers, spec.target, spec.where));
}

std::optional<CalibratedParam> calibrates(const StrategySpec& spec, int num_layers) {
  if (skipped_sublayers(spec, num_layers) == 0 || has_param(spec, "scores")) return std::nullopt;
  const std::vector<double> ones(static_cast<size_t>(num_layers), 1.0);
  AdaSkipScores placeholder;
  placeholder.layers.attention = placeholder.layers.mlp = {ones, ones};
  return CalibratedParam{"scores", adaskip_scores_json(placeholder)};
}

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  const int skips = skipped_sublayers(spec, num_layers);
  const int early_steps = adaskip_early_steps(spec);
  const bool is_given = has_param(spec, "more_mlps");
  const int wanted = param_integer(spec, "more_mlps", std::max(1, skips / 8), 0, num_layers);
  const bool is_scaled = param_choice(spec, "scale", {"norm_ratio", "none"}, 0) == 0;
  const LayerSet all = LayerSet::all(num_layers);
  if (skips == 0) return std::make_unique<ConstantSets>(all, all);
  if (!has_param(spec, "scores")) {
    throw Error({.what = "adaskip needs the similarity of each attention and MLP",
                 .where = spec.where.empty() ? "--strategy adaskip" : spec.where,
                 .expected = "`scores`: the JSON that `skipbench probe --scores sublayers` prints",
                 .hint = "skipbench probe --model MODEL --input TEXTS --scores sublayers > "
                         "scores.json; or let `skipbench run` measure them on a dataset's "
                         "calibration split"});
  }
  const AdaSkipScores scores = given_scores(spec, num_layers);
  const std::vector<int> order = removal_order(scores.layers);
  const Split split = split_of(skips, share_of(spec, scores, early_steps), 2 * num_layers - skips,
                               wanted, is_given, order);
  const auto skip = [](LayerSet& set, int sublayer) {
    if (is_mlp(sublayer)) {
      set.set_mlp(sublayer / 2, false);
    } else {
      set.set_attention(sublayer / 2, false);
    }
  };
  LayerSet early = all;
  for (int i = 0; i < split.early; ++i) skip(early, order[static_cast<size_t>(i)]);
  LayerSet late = early;
  int left = split.more_mlps;
  for (size_t i = static_cast<size_t>(split.early); i < order.size() && left > 0; ++i) {
    if (!is_mlp(order[i])) continue;
    skip(late, order[i]);
    --left;
  }
  return std::make_unique<AdaSkip>(early, late, early_steps,
                                   is_scaled ? scales_of(scores.layers) : std::vector<float>());
}

}  // namespace

int adaskip_early_steps(const StrategySpec& spec) {
  return param_integer(spec, "early_steps", 20, 1, 1 << 20);
}

double late_share(std::span<const int64_t> steps_per_text, int early_steps) {
  double late = 0, all = 0;
  for (const int64_t steps : steps_per_text) {
    late += static_cast<double>(std::max<int64_t>(0, steps - early_steps));
    all += static_cast<double>(steps);
  }
  return all > 0 ? late / all : 0.0;
}

std::string adaskip_scores_json(const AdaSkipScores& scores) {
  Json json = Json::parse(layer_scores_json(scores.layers));
  if (scores.late_share) json["late_share"] = *scores.late_share;
  return json.dump();
}

StrategyInfo describe_adaskip() {
  return {.name = "adaskip",
          .summary =
              "attentions and MLPs that change the hidden state least are skipped, each "
              "by itself; their output is the scaled input",
          .paper = "He et al. 2025 (AdaSkip), arXiv 2501.02336",
          .kv_policy = "absent (never read: a sublayer once skipped stays skipped)",
          .params = {{.name = "scores",
                      .default_text = "measured",
                      .range = "a file, or its JSON",
                      .help = "what `skipbench probe --scores sublayers` printed; a sweep measures "
                              "it on the calibration split",
                      .is_file = true},
                     {"early_steps", "20", "[1, 1048576]",
                      "decoding steps before more MLPs are skipped"},
                     {"more_mlps", "(N - K) / 4, at least 1", "[0, N]",
                      "MLPs skipped from then on; fewer sublayers are skipped before, so that the "
                      "mean is K; the default gives way where that is not within 1 %"},
                     {"expected_length", "64", "[2, 1048576]",
                      "new tokens of a text, for that mean; in a sweep the lengths of the "
                      "calibration texts"},
                     {"scale", "norm_ratio", "norm_ratio, none",
                      "factor of a skipped sublayer's input: norm after / norm before, or 1"}},
          .make = make,
          .calibrates = calibrates};
}

}  // namespace skipbench
