// Metadata of a GGUF file as a model description.
#pragma once

#include "engine/weights/gguf.h"
#include "engine/weights/model_description.h"
#include "engine/weights/tensor_table.h"

namespace skipbench {

// Architectures llama (Llama, Mistral, SmolLM), qwen2, qwen3 and bloom. Keys of the architecture
// that this reader does not know are refused by name, since they may change the outputs.
ModelDescription read_gguf_config(const GgufFile& file);

class GgufTable : public TensorTable {
 public:
  explicit GgufTable(const GgufFile& file) : file_(file) {}
  std::optional<Weight> find(std::string_view name) const override { return file_.tensor(name); }
  std::vector<std::string> names() const override { return file_.tensor_names(); }
  std::string where(std::string_view name) const override;

 private:
  const GgufFile& file_;
};

}  // namespace skipbench
