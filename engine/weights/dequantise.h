// A weight's rows as f32, whatever the type.
#pragma once

#include <span>

#include "engine/weights/weight.h"

namespace skipbench {

// Row `row` of the matrix into `out`, which has weight.cols elements.
void row_to_floats(const Weight& weight, int64_t row, std::span<float> out);

}  // namespace skipbench
