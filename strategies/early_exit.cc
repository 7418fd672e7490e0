// early_exit: Schuster et al. 2022, "Confident Adaptive Language Modeling" (CALM), arXiv
// 2207.07061, sections 3.2 and 3.5. Each token stops at the first tested layer whose prediction is
// confident; the cache above is filled from the state that was passed through. Where the reference
// code propagates the state of the first possible exit, the paper's (the state at the exit) is
// followed.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "engine/base/error.h"
#include "strategies/exit_depths.h"
#include "strategies/params.h"
#include "strategies/strategy.h"

namespace skipbench {

namespace {

class EarlyExit final : public SkipStrategy {
 public:
  EarlyExit(SkipRule rule, KvPolicy kv_policy) : rule_(std::move(rule)), kv_policy_(kv_policy) {}

  const SkipRule* rule() const override { return &rule_; }
  KvPolicy kv_policy() const override { return kv_policy_; }

 private:
  SkipRule rule_;
  KvPolicy kv_policy_;
};

// Without a threshold: exits are replayed instead of decided.
void set_depths(SkipRule& rule, const StrategySpec& spec, int num_layers) {
  for (const char* name : {"threshold", "decay_tau", "decay_length"}) {
    if (!has_param(spec, name)) continue;
    throw Error({.what = std::string("parameters '") + name + "' and 'depths' exclude each other",
                 .where = spec.params.at(name).where,
                 .expected = "a threshold, by which the confidence decides, or depths to replay",
                 .got = "both; 'depths' was written at " + spec.params.at("depths").where});
  }
  ExitDepths found = param_depths(spec, num_layers, rule.min_layer);
  rule.depths = std::move(found.depths);
  rule.depths_from = std::move(found.from);
}

std::optional<CalibratedParam> calibrates(const StrategySpec& spec, int num_layers) {
  const bool skips = layer_budget(num_layers, spec.target, spec.where) < num_layers;
  if (!skips || has_param(spec, "threshold") || has_param(spec, "depths")) return std::nullopt;
  return CalibratedParam{"threshold", "0.5"};
}

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  SkipRule rule;
  rule.signal = static_cast<ExitSignal>(param_choice(
      spec, "signal", {"softmax_difference", "top_probability", "entropy", "cosine"}, 0));
  // What stands before the first layer is an embedding, no state to compare with.
  const int first = rule.signal == ExitSignal::kCosine ? std::min(2, num_layers) : 1;
  rule.min_layer = param_integer(spec, "min_layer", first, first, num_layers);
  rule.interval = param_integer(spec, "exit_interval", 1, 1, num_layers);
  if (has_param(spec, "depths")) {
    set_depths(rule, spec, num_layers);
  } else {
    rule.threshold_lambda = param_threshold(spec, num_layers, "0.9");
  }
  rule.decay_length = param_integer(spec, "decay_length", 0, 0, 1 << 30);
  rule.decay_tau = param_number(spec, "decay_tau", rule.decay_length > 0 ? 4.0 : 0.0, 0.0, 1e6);
  if (rule.decay_tau > 0.0 && rule.decay_length == 0) {
    throw Error({.what = "decay_tau needs decay_length",
                 .where = spec.params.at("decay_tau").where,
                 .expected = "decay_length = the number of new tokens, at least 1",
                 .hint = "commands that make texts take their own"});
  }
  const size_t kv = param_choice(spec, "kv", {"project", "absent"}, 0);
  rule.rows_done = param_rows_done(spec);
  if (rule.rows_done == RowsDone::kWait && kv == 1) {
    throw Error({.what = "rows that go along leave keys and values in the layers above their exit",
                 .where = spec.params.at("batch").where,
                 .expected = "`batch: compact` with `kv: absent`, or `kv: project`",
                 .got = "batch wait, kv absent"});
  }
  return std::make_unique<EarlyExit>(std::move(rule),
                                     kv == 0 ? KvPolicy::kProject : KvPolicy::kAbsent);
}

}  // namespace

StrategyInfo describe_early_exit() {
  return {
      .name = "early_exit",
      .summary = "each token stops at the first layer whose prediction is confident",
      .paper = "Schuster et al. 2022 (CALM), arXiv 2207.07061",
      .kv_policy = "project (from the state at the exit), or absent",
      .is_dynamic = true,
      .needs_training = true,
      .params = {{.name = "signal",
                  .default_text = "softmax_difference",
                  .range = "softmax_difference, top_probability, entropy, cosine",
                  .help = "confidence: p1 - p2, p1, 1 - entropy / log V, or the cosine of the "
                          "states before and after the layer, which needs no head",
                  .is_searched = true},
                 {"threshold", "calibrated", "[0, 1]", "a row exits when confidence exceeds it"},
                 {.name = "min_layer",
                  .default_text = "1, cosine: 2",
                  .range = "[its default, N]",
                  .help = "layers that always run",
                  .is_searched = true},
                 {.name = "exit_interval",
                  .default_text = "1",
                  .range = "[1, N]",
                  .help = "layers between two exit tests",
                  .is_searched = true},
                 {"decay_tau", "0, with decay_length 4", "[0, 1e6]",
                  "position decay of the threshold: 0.9 L + 0.1 L exp(-tau step / "
                  "decay_length), CALM's tau is 4; 0: constant"},
                 {.name = "decay_length",
                  .default_text = "max_new_tokens",
                  .range = "whole number",
                  .help = "T of the decay: new tokens per text",
                  .new_tokens_beside = "decay_tau"},
                 {"kv", "project", "project, absent", "what the layers above the exit keep"},
                 {.name = "depths",
                  .default_text = "by confidence",
                  .range = "a file, or layers in [min_layer, N]",
                  .help = "instead of a threshold, for timing where weights have no confidence: "
                          "step t of text x stops at the first test with as many layers run as "
                          "entry (t + 7 x) mod n says (7 must not divide n), and every test is still "
                          "computed; a file "
                          "is what `skipbench export --to exit-depths` writes, its list of this "
                          "target",
                  .is_file = true},
                 {"batch", "auto", "auto, wait, compact",
                  "rows that have exited go along frozen until the batch's last row exits, or "
                  "leave the batch of the layers above; auto: wait where the device decides, "
                  "compact where the host does"}},
      .make = make,
      .calibrates = calibrates};
}

}  // namespace skipbench
