#include "tests/weights/expect_tensors.h"

#include <gtest/gtest.h>

#include "engine/weights/tensor_provider.h"
#include "tests/weights/model_writer.h"

namespace skipbench::test {

void expect_matrix(const Weight& weight, const std::string& name, int64_t rows, int64_t cols) {
  EXPECT_EQ(weight.name, name);
  ASSERT_EQ(weight.rows, rows) << name;
  ASSERT_EQ(weight.cols, cols) << name;
  const Vector values = to_floats(weight.type, weight.data, rows * cols);
  for (int64_t i = 0; i < rows * cols; ++i) ASSERT_EQ(values[i], cell(name, i)) << name << " " << i;
}

void expect_vector(const Vector& vector, const std::vector<std::string>& names,
                   const std::vector<int64_t>& sizes) {
  size_t at = 0;
  for (size_t part = 0; part < names.size(); ++part) {
    for (int64_t i = 0; i < sizes[part]; ++i, ++at) {
      ASSERT_LT(at, vector.size()) << names[part];
      ASSERT_EQ(vector[at], cell(names[part], i)) << names[part] << " " << i;
    }
  }
  EXPECT_EQ(at, vector.size());
}

}  // namespace skipbench::test
