// Gathers a model's weights from named tensors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/weights/model_description.h"
#include "engine/weights/tensor_provider.h"

namespace skipbench {

enum class NameStyle { kHuggingFace, kGguf };

// Every tensor that `description` needs, under the names of `style`. Throws Error when one is
// missing or of another shape than the description says.
ModelWeights assemble_weights(const ModelDescription& description, NameStyle style,
                              TensorProvider& tensors);

// A matrix of a layer under the name of its module in transformers' class, wherever it came from.
struct LayerMatrix {
  enum class Role { kFusedQkv, kQueryOrKey, kOther };

  std::string name;  // "model.layers.0.self_attn.q_proj"
  Role role = Role::kOther;
  Weight* weight = nullptr;
};
std::vector<LayerMatrix> layer_matrices(ModelWeights& weights, const ModelConfig& config);

// Tensors that files carry although nothing reads them (tables computed from the configuration,
// a head beside a tied embedding).
bool is_harmless_tensor(std::string_view name);

}  // namespace skipbench
