#include "eval/probe/step_json.h"

namespace skipbench {

nlohmann::ordered_json step_json(const StepDivergence& step) {
  return {{"texts", step.texts},   {"layers", step.layers},
          {"kl", step.kl},         {"top1_agreement", step.top1_agreement},
          {"cosine", step.cosine}, {"norm_ratio", step.norm_ratio}};
}

}  // namespace skipbench
