// LoRA adapters (Hu et al. 2021, arXiv 2106.09685) as peft saves them, added to a model's matrices.
#pragma once

#include <string>

#include "engine/weights/weight.h"

namespace skipbench {

enum class AdapterUse {
  kMerge,
  kTypesOnly,  // matrices keep their values and get the types that kMerge gives them
};

// Adds scale * B A to each matrix that the folder's adapter_model.safetensors names, where
// adapter_config.json gives scale = lora_alpha / r (or / sqrt(r), use_rslora). Touched matrices get
// memory of their own in their type, quantised ones in f16. Modules are those of transformers'
// classes; the rows of GGUF files that are ordered otherwise are found. Throws Error naming file
// and key or tensor for an adapter of another kind, of another model, or with a tensor that fits no
// matrix of a layer.
void merge_adapter(LoadedModel& model, const std::string& folder,
                   AdapterUse use = AdapterUse::kMerge);

}  // namespace skipbench
