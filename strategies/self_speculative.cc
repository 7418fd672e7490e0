// self_speculative: lossless. A part of the layers drafts tokens, the whole model checks them in
// one pass and keeps those that it would have made itself. The part is unified's layers, the first
// ones (Elhoushi et al. 2024, "LayerSkip", arXiv 2404.16710, section 3.3), or a list of layers or
// sublayers such as a search finds (Zhang et al. 2023, "Draft & Verify: Lossless Large Language
// Model Acceleration via Self-Speculative Decoding", arXiv 2309.08168, section 3.3). As in the
// latter a check computes all layers anew.
#include <fmt/format.h>

#include <algorithm>

#include "engine/base/error.h"
#include "strategies/listed_layers.h"
#include "strategies/params.h"
#include "strategies/strategy.h"

namespace skipbench {
namespace {

class SelfSpeculative final : public SkipStrategy {
 public:
  explicit SelfSpeculative(Speculation speculation) : speculation_(speculation) {}

  // What a token's distribution comes from are all layers, which is what the interface's defaults
  // say of prompt and steps.
  const Speculation* speculation() const override { return &speculation_; }

 private:
  Speculation speculation_;
};

enum Draft : size_t { kUnified, kFixedExit, kLayers };

// Throws Error where `param` is given and the draft does not read it.
void refuse_unread(const StrategySpec& spec, const char* param, const char* draft) {
  if (!has_param(spec, param)) return;
  throw Error({.what = fmt::format("parameter '{}' is for `draft: {}` alone", param, draft),
               .where = spec.params.at(param).where,
               .expected = fmt::format("`draft: {}` beside it", draft),
               .got = has_param(spec, "draft") ? spec.params.at("draft").text : "no `draft`"});
}

LayerSet draft_layers(const StrategySpec& spec, int num_layers) {
  const size_t draft = param_choice(spec, "draft", {"unified", "fixed_exit", "layers"}, kUnified);
  if (draft != kUnified) refuse_unread(spec, "spacing", "unified");
  if (draft == kLayers) return listed_layers(spec, num_layers);
  for (const char* list : {"layers", "attention", "mlp"}) refuse_unread(spec, list, "layers");
  StrategySpec drafting{.name = draft == kUnified ? "unified" : "fixed_exit",
                        .target = spec.target,
                        .where = spec.where};
  if (has_param(spec, "spacing")) drafting.params["spacing"] = spec.params.at("spacing");
  return make_strategy(drafting, num_layers)->step_layers(num_layers, 0);
}

std::unique_ptr<SkipStrategy> make(const StrategySpec& spec, int num_layers) {
  Speculation speculation;
  speculation.draft = draft_layers(spec, num_layers);
  speculation.most = param_integer(spec, "most_drafted", 8, 1, 64);
  speculation.first =
      param_integer(spec, "first_drafted", std::min(4, speculation.most), 1, speculation.most);
  speculation.stop_below = param_number(spec, "stop_below", 0.0, 0.0, 1.0);
  return std::make_unique<SelfSpeculative>(speculation);
}

}  // namespace

StrategyInfo describe_self_speculative() {
  return {
      .name = "self_speculative",
      .summary = "few layers draft, the whole model checks: the output is that of full",
      .paper =
          "Zhang et al. 2023 (Draft & Verify), arXiv 2309.08168; Elhoushi et al. 2024 (LayerSkip), "
          "arXiv 2404.16710; Liu et al. 2024, arXiv 2404.06954",
      .kv_policy = "all layers: a check writes what a draft has left out",
      .params = {{"draft", "unified", "unified, fixed_exit, layers",
                  "the layers that draft: unified's, the first K, or those listed, whatever the "
                  "target"},
                 {"spacing", "authors", "authors, even", "of unified's drafting layers"},
                 {"layers", "", "layers in [0, N - 1]", "those that draft, as 0-5,9,12"},
                 {"attention", "", "layers in [0, N - 1]",
                  "instead of `layers`: those whose attention drafts; may be empty"},
                 {"mlp", "", "layers in [0, N - 1]", "and those whose MLP drafts"},
                 {"most_drafted", "8", "[1, 64]", "tokens drafted in a round at most"},
                 {"first_drafted", "min(4, most_drafted)", "[1, most_drafted]",
                  "in a text's first round; then two more after a round that was accepted "
                  "whole, one less after another"},
                 {"stop_below", "0", "[0, 1]",
                  "a draft ends after a token if the most probable one had less probability than "
                  "this (at temperature 1)"}},
      .make = make};
}

}  // namespace skipbench
