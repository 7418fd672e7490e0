// A plan of two layer sets: one for the prompt, one for every decoding step.
#pragma once

#include "strategies/strategy.h"

namespace skipbench {

class ConstantSets final : public SkipStrategy {
 public:
  ConstantSets(LayerSet prefill, LayerSet step) : prefill_(prefill), step_(step) {}

  LayerSet prefill_layers(int /*num_layers*/) const override { return prefill_; }
  LayerSet step_layers(int /*num_layers*/, int /*step*/) const override { return step_; }

 private:
  LayerSet prefill_;
  LayerSet step_;
};

}  // namespace skipbench
