// Gathers a model's weights from named tensors.
#pragma once

#include "engine/weights/model_description.h"
#include "engine/weights/tensor_provider.h"

namespace skipbench {

enum class NameStyle { kHuggingFace, kGguf };

// Every tensor that `description` needs, under the names of `style`. Throws Error when one is
// missing or of another shape than the description says.
ModelWeights assemble_weights(const ModelDescription& description, NameStyle style,
                              TensorProvider& tensors);

// Tensors that files carry although nothing reads them (tables computed from the configuration,
// a head beside a tied embedding).
bool is_harmless_tensor(std::string_view name);

}  // namespace skipbench
