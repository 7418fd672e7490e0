// What a config reader hands to the weight assembler.
#pragma once

#include <string>

#include "engine/base/dtype.h"
#include "engine/model_config.h"

namespace skipbench {

struct ModelDescription {
  ModelConfig config;
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  DType dtype = DType::kF32;  // of a synthetic model's weights; files state each tensor's own
};

// Checks what every family needs and sets what follows from the rest (attention_scale, windows):
// positive sizes within sane limits, heads that divide. Throws Error naming `where`.
void finish_description(ModelDescription& description, const std::string& where);

}  // namespace skipbench
