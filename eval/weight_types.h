// The types of a model's weights, in words.
#pragma once

#include <string>

#include "engine/weights/weight.h"

namespace skipbench {

// Of the matrices: "f16", or with their numbers "q4_1 210 tensors, q8_0 1", the most first. Norms
// and biases are f32 whatever the file.
std::string weight_types(const ModelWeights& weights);

}  // namespace skipbench
