// Token ids as JSON, for the commands that read or print them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/model_config.h"

namespace skipbench {

// A JSON array of token ids. Throws Error naming `where` for anything else.
std::vector<int32_t> token_ids_from_json(const nlohmann::json& value, const std::string& where);

// One line of JSON. Throws Error naming `where` and the byte at which it is wrong.
nlohmann::json parse_json_line(const std::string& line, const std::string& where);

// Throws Error naming `where` when the model was not made for so many positions.
void check_positions(int64_t positions, const ModelConfig& config, const std::string& where);

// Layers per token: whole numbers without a fraction, half layers as they are.
nlohmann::json layers_to_json(const std::vector<double>& layers);

}  // namespace skipbench
