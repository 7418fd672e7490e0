// Where the weight assembler takes tensors from: a file, or a random number generator.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/weights/tensor_table.h"
#include "engine/weights/weight.h"

namespace skipbench {

class TensorProvider {
 public:
  virtual ~TensorProvider() = default;
  virtual bool has(std::string_view name) = 0;
  // Matrix [rows, cols]; throws Error when it is missing or of another shape.
  virtual Weight matrix(const std::string& name, int64_t rows, int64_t cols) = 0;
  // Vector of `size` elements as f32; throws as above and for quantised types.
  virtual Vector vector(const std::string& name, int64_t size) = 0;
};

// Tensors of a file, checked; remembers which were asked for.
class FileTensors : public TensorProvider {
 public:
  explicit FileTensors(const TensorTable& table) : table_(table) {}

  bool has(std::string_view name) override { return table_.find(name).has_value(); }
  Weight matrix(const std::string& name, int64_t rows, int64_t cols) override;
  Vector vector(const std::string& name, int64_t size) override;

  // Throws Error for a tensor that nothing asked for: a bias or norm that is not applied would
  // change the outputs silently. `is_harmless` names the exceptions.
  void refuse_unused(bool (*is_harmless)(std::string_view name)) const;

 private:
  Weight checked(const std::string& name, int64_t rows, int64_t cols);

  const TensorTable& table_;
  std::set<std::string, std::less<>> used_;
};

// `count` elements of a plain type at `data` (any alignment) as f32.
Vector to_floats(DType type, const std::byte* data, int64_t count);

}  // namespace skipbench
