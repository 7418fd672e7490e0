// config.json and generation_config.json of a Hugging Face model, in the spellings of
// transformers 4 and 5.
#pragma once

#include <string>

#include "engine/weights/json_file.h"
#include "engine/weights/model_description.h"

namespace skipbench {

// Reads `config_path`, and the generation_config.json beside it when there is one. Defaults of
// absent keys are those of the family's configuration class in transformers. Whatever would change
// the model's outputs and is not implemented is refused: Error naming file and key.
ModelDescription read_hf_config(const std::string& config_path);

// RoPE of a config.json: rope_theta and rope_scaling (transformers 4) or rope_parameters (5).
// `max_positions` is the default of original_max_position_embeddings.
RopeConfig read_hf_rope(const JsonObject& config, int head_dim, int64_t max_positions);

}  // namespace skipbench
