// The one door to a model on disk or in memory.
#pragma once

#include <string>

#include "engine/weights/weight.h"

namespace skipbench {

// `path` is a Hugging Face folder (config.json and safetensors), a GGUF file, a folder that holds
// exactly one GGUF file, or "synthetic:CONFIG.json[:seed]" (random weights of that shape, seed 0
// by default; the config's dtype decides the weight type). With "device-synthetic:" in its place
// the same weights are made by the device that runs the model and never exist on the host. Files
// are memory-mapped, every tensor that the configuration needs is checked for presence, type, shape
// and place inside its file. Throws Error naming the file, the tensor and the byte; a missing path
// says how to get the model. `adapter`, where it is not empty, is a folder for merge_adapter
// (engine/weights/adapter.h).
LoadedModel load_model(const std::string& path, const std::string& adapter = "");

// SHA-256 in hex of what defines the model's outputs: the configuration and every tensor (large
// ones sampled: 64 KiB at their beginning, middle and end). Independent of the path.
std::string model_hash(const LoadedModel& model);

}  // namespace skipbench
