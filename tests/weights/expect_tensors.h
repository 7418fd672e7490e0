// Compares loaded tensors with what model_writer wrote.
#pragma once

#include <string>
#include <vector>

#include "engine/weights/weight.h"

namespace skipbench::test {

void expect_matrix(const Weight& weight, const std::string& name, int64_t rows, int64_t cols);

// `names` are the tensors whose values stand one after another in `vector`.
void expect_vector(const Vector& vector, const std::vector<std::string>& names,
                   const std::vector<int64_t>& sizes);

}  // namespace skipbench::test
