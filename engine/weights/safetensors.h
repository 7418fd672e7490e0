// safetensors files, alone or as the shards of a Hugging Face folder; memory-mapped.
// Format: https://github.com/huggingface/safetensors (README, "Format").
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/mapped_file.h"
#include "engine/weights/tensor_table.h"

namespace skipbench {

class SafetensorsFile : public TensorTable {
 public:
  // Maps and checks the file: header length, JSON, and for every tensor its type, shape and place
  // (inside the file, of the size its shape says, no overlap). Throws Error naming file, tensor and
  // byte. Tensors of types the engine cannot read are refused only when asked for.
  explicit SafetensorsFile(const std::string& path);

  std::optional<Weight> find(std::string_view name) const override;
  std::vector<std::string> names() const override;
  std::string where(std::string_view name) const override;

  const std::shared_ptr<const MappedFile>& file() const { return file_; }

 private:
  struct Entry {
    std::string dtype;
    std::vector<int64_t> shape;
    uint64_t begin = 0;  // from the start of the file
    uint64_t end = 0;
  };

  void check_coverage(uint64_t data_begin) const;

  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, Entry, std::less<>> entries_;
};

// model.safetensors, or the shards that model.safetensors.index.json names (which must lie in the
// folder itself and hold what the index says).
class SafetensorsFolder : public TensorTable {
 public:
  explicit SafetensorsFolder(const std::string& folder);

  // Whether `folder` has one of the two files.
  static bool is_present(const std::string& folder);

  std::optional<Weight> find(std::string_view name) const override;
  std::vector<std::string> names() const override;
  std::string where(std::string_view name) const override;

  std::vector<std::shared_ptr<const MappedFile>> files() const;

 private:
  void read_index(const std::string& folder, const std::string& index_path);

  std::string source_;  // the file that lists the tensors
  std::map<std::string, std::unique_ptr<SafetensorsFile>> shards_;
  std::map<std::string, const SafetensorsFile*, std::less<>> tensors_;
};

}  // namespace skipbench
