// A step of a drift as JSON, the same wherever it is printed.
#pragma once

#include <nlohmann/json.hpp>

#include "eval/probe/divergence.h"

namespace skipbench {

// {texts, layers, kl, top1_agreement, cosine [N], norm_ratio [N]}, units as in StepDivergence.
nlohmann::ordered_json step_json(const StepDivergence& step);

}  // namespace skipbench
