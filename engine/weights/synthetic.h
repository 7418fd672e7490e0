// Random models of any shape, so that speed can be studied without a download.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/weights/model_description.h"
#include "engine/weights/tensor_provider.h"

namespace skipbench {

// Weights that depend on (seed, tensor name, element index) alone: the same bits on every machine
// and at any thread count. Matrices are centred with standard deviation 1 / sqrt(cols), those that
// write into the residual stream 1 / sqrt(2 * layers) of that, so that deep models stay finite;
// norm gains are 1, biases have standard deviation 0.02.
class SyntheticTensors : public TensorProvider {
 public:
  // made_by_device: matrices have no contents here, only what a device needs to make them.
  SyntheticTensors(DType type, int num_layers, uint64_t seed, bool made_by_device = false)
      : type_(type), num_layers_(num_layers), seed_(seed), made_by_device_(made_by_device) {}

  bool has(std::string_view) override { return true; }
  Weight matrix(const std::string& name, int64_t rows, int64_t cols) override;
  Vector vector(const std::string& name, int64_t size) override;

  // The buffers behind the matrices, which outlive this object with their owners.
  const std::vector<std::shared_ptr<const void>>& storage() const { return storage_; }

 private:
  DType type_;
  int num_layers_;
  uint64_t seed_;
  bool made_by_device_;
  std::vector<std::shared_ptr<const void>> storage_;
};

// Throws Error when a model of this shape does not fit into the machine's memory: better said
// before minutes of writing into swap.
void check_memory_for(const ModelDescription& description, const std::string& where);

}  // namespace skipbench
