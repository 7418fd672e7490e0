#include <fmt/format.h>

#include <filesystem>

#include "engine/base/error.h"
#include "engine/weights/json_file.h"
#include "engine/weights/safetensors.h"

namespace skipbench {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

// A shard is a file of the folder itself: an index from elsewhere must not reach other files.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

}  // namespace

bool SafetensorsFolder::is_present(const std::string& folder) {
  std::error_code ignored;
  return fs::exists(fs::path(folder) / kSingle, ignored) ||
         fs::exists(fs::path(folder) / kIndex, ignored);
}

SafetensorsFolder::SafetensorsFolder(const std::string& folder) {
  std::error_code ignored;
  const fs::path single = fs::path(folder) / kSingle;
  if (!fs::exists(single, ignored)) {  // both are there: the single file, as in transformers
    read_index(folder, (fs::path(folder) / kIndex).string());
    return;
  }
  source_ = single.string();
  const auto& file = shards_[kSingle] = std::make_unique<SafetensorsFile>(source_);
  for (const std::string& name : file->names()) tensors_.emplace(name, file.get());
}

void SafetensorsFolder::read_index(const std::string& folder, const std::string& index_path) {
  source_ = index_path;
  const auto map = JsonObject::read(index_path).object("weight_map");
  if (!map) {
    throw Error({.what = "no 'weight_map' in the index of the shards", .where = index_path});
  }
  for (const std::string& name : map->keys()) {
    const std::string shard = map->string(name).value_or("");
    if (!is_plain_name(shard)) {
      throw Error({.what = "bad shard name",
                   .where = map->where(name),
                   .expected = "a file of the same folder",
                   .got = fmt::format("'{}'", shard)});
    }
    auto& file = shards_[shard];
    if (!file) {
      const fs::path path = fs::path(folder) / shard;
      std::error_code error;
      if (!fs::exists(path, error)) {
        throw Error({.what = fmt::format("shard '{}' is missing", shard),
                     .where = map->where(name),
                     .hint = "download the whole model folder"});
      }
      file = std::make_unique<SafetensorsFile>(path.string());
    }
    if (file->where(name) == file->file()->path()) {
      throw Error({.what = fmt::format("the index places tensor '{}' where it is not", name),
                   .where = file->file()->path()});
    }
    tensors_.emplace(name, file.get());
  }
}

std::optional<Weight> SafetensorsFolder::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  return found->second->find(name);
}

std::vector<std::string> SafetensorsFolder::names() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : tensors_) names.push_back(name);
  return names;
}

std::string SafetensorsFolder::where(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? source_ : found->second->where(name);
}

std::vector<std::shared_ptr<const MappedFile>> SafetensorsFolder::files() const {
  std::vector<std::shared_ptr<const MappedFile>> files;
  for (const auto& [name, shard] : shards_) files.push_back(shard->file());
  return files;
}

}  // namespace skipbench
