// Writes small models for the tests: safetensors and GGUF bytes, and whole folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/dtype.h"

namespace skipbench::test {

struct Tensor {
  std::string name;
  std::vector<int64_t> shape;  // outermost first
  DType type = DType::kF32;

  int64_t elements() const;
};

// Element `i` of tensor `name`: a multiple of 1/4 between -4 and 4, exact in every plain type.
float cell(std::string_view name, int64_t i);

// The tensor's bytes: cells for plain types, arbitrary but fixed bytes for block types.
std::string tensor_bytes(const Tensor& tensor);

std::string safetensors_bytes(const std::vector<Tensor>& tensors);
// A file with the given header text and `data_bytes` zero bytes of data.
std::string safetensors_raw(const std::string& header, size_t data_bytes);

class GgufWriter {
 public:
  GgufWriter& u32(const std::string& key, uint32_t value);
  GgufWriter& u64(const std::string& key, uint64_t value);
  GgufWriter& i32(const std::string& key, int32_t value);
  GgufWriter& f32(const std::string& key, float value);
  GgufWriter& boolean(const std::string& key, bool value);
  GgufWriter& text(const std::string& key, const std::string& value);
  GgufWriter& texts(const std::string& key, const std::vector<std::string>& values);
  GgufWriter& u32s(const std::string& key, const std::vector<uint32_t>& values);
  GgufWriter& f32s(const std::string& key, const std::vector<float>& values);
  GgufWriter& raw(const std::string& key, uint32_t type, const std::string& bytes);
  GgufWriter& tensor(const Tensor& tensor);
  GgufWriter& tensor_header(const std::string& name, const std::vector<uint64_t>& ne, uint32_t type,
                            uint64_t offset);

  uint32_t version = 3;
  uint32_t alignment = 32;
  std::string bytes() const;

 private:
  std::string keys_;
  uint64_t num_keys_ = 0;
  std::string tensors_;
  uint64_t num_tensors_ = 0;
  std::string data_;
};

// A folder that is removed with its owner.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  std::string path(const std::string& name = "") const;
  // Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& bytes) const;

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::string& path);

// Shape of a Llama-like test model; every size differs from every other, so that a mix-up shows.
struct TinyShape {
  int layers = 2, hidden = 12, heads = 3, kv_heads = 1, head_dim = 4, intermediate = 20, vocab = 7;
};

// All tensors of a family under Hugging Face names.
std::vector<Tensor> llama_tensors(const TinyShape& shape, bool qkv_bias, bool output_bias,
                                  bool mlp_bias, bool qk_norm, bool head, DType type = DType::kF32,
                                  const std::string& prefix = "model.");
std::vector<Tensor> bloom_tensors(const TinyShape& shape, const std::string& prefix,
                                  DType type = DType::kF32);

// config.json of the shape; `extra` is added as further members ("\"a\": 1, ").
std::string llama_config(const TinyShape& shape, const std::string& model_type,
                         const std::string& extra = "");
std::string bloom_config(const TinyShape& shape, const std::string& extra = "");

// Metadata and tensors of a GGUF file of the architecture; weights of block types need sizes that
// are multiples of 32.
GgufWriter llama_gguf(const TinyShape& shape, const std::string& architecture,
                      DType type = DType::kF32);
GgufWriter bloom_gguf(const TinyShape& shape);

// The message of the Error that loading `path` throws; fails the test when it loads.
std::string load_error(const std::string& path);

}  // namespace skipbench::test
