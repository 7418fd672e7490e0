// GGUF container (v2, v3): metadata and tensor table of a memory-mapped file.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/base/mapped_file.h"
#include "engine/weights/weight.h"

namespace skipbench {

// Integers of every width become int64_t or uint64_t, floats double; arrays are of one kind.
using GgufValue = std::variant<bool, int64_t, uint64_t, double, std::string, std::vector<int64_t>,
                               std::vector<double>, std::vector<std::string>, std::vector<bool>>;

class GgufFile {
 public:
  // Maps and checks the file: magic, version, counts, every string, array and tensor lies inside
  // the file, offsets are aligned and do not overlap. Throws Error naming file, key or tensor, and
  // byte. Tensors of types the engine cannot read are listed with their type name and refused only
  // when asked for.
  explicit GgufFile(const std::string& path);

  const std::string& path() const { return path_; }
  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }

  bool has(std::string_view key) const;
  // Typed look-ups; throw Error naming file and key when the key is missing or of another kind.
  // Integers convert between signedness when the value fits.
  int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;
  const std::string& string(std::string_view key) const;
  const std::vector<std::string>& strings(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;
  std::vector<double> numbers(std::string_view key) const;
  // The same with a value for an absent key.
  int64_t integer_or(std::string_view key, int64_t fallback) const;
  double number_or(std::string_view key, double fallback) const;
  std::string string_or(std::string_view key, std::string fallback) const;
  bool bool_or(std::string_view key, bool fallback) const;

  // Tensor as [rows, cols] (GGUF's ne[1], ne[0]; one-dimensional tensors have rows = 1), or
  // nullopt when there is none of that name.
  std::optional<Weight> tensor(std::string_view name) const;
  std::vector<std::string> tensor_names() const;
  std::optional<uint64_t> tensor_offset(std::string_view name) const;  // from the file's start

  const std::shared_ptr<const MappedFile>& file() const { return file_; }

 private:
  struct TensorEntry {
    std::vector<uint64_t> shape;  // innermost first, as in the file
    uint32_t ggml_type = 0;
    uint64_t offset = 0;  // from the start of the file
    uint64_t bytes = 0;   // 0 when ggml itself has no type of that number
  };

  void read_metadata(class GgufCursor& cursor, uint64_t count);
  void read_tensors(class GgufCursor& cursor, uint64_t count);
  // Makes offsets absolute; checks alignment, bounds and overlap.
  void place_tensors(uint64_t data_begin, uint64_t alignment);
  // The value of `key`, or null when absent.
  const GgufValue* find(std::string_view key) const;
  const GgufValue& get(std::string_view key) const;

  std::string path_;
  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, GgufValue> metadata_;
  std::map<std::string, TensorEntry, std::less<>> tensors_;
};

}  // namespace skipbench
