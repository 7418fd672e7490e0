#include "engine/weights/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <new>

#include "engine/base/error.h"
#include "engine/weights/adapter.h"
#include "engine/weights/assemble.h"
#include "engine/weights/gguf_config.h"
#include "engine/weights/hf_config.h"
#include "engine/weights/safetensors.h"
#include "engine/weights/synthetic.h"

namespace skipbench {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSyntheticPrefix = "synthetic:";
constexpr std::string_view kDevicePrefix = "device-synthetic:";  // the device makes the weights

LoadedModel load_gguf(const std::string& path) {
  const GgufFile file(path);
  const ModelDescription description = read_gguf_config(file);
  const GgufTable table(file);
  FileTensors tensors(table);
  LoadedModel model;
  model.config = description.config;
  model.weights = assemble_weights(description, NameStyle::kGguf, tensors);
  tensors.refuse_unused(is_harmless_tensor);
  model.storage.push_back(file.file());
  model.file_bytes = static_cast<int64_t>(file.file()->bytes().size());
  return model;
}

LoadedModel load_safetensors(const std::string& folder) {
  const ModelDescription description = read_hf_config((fs::path(folder) / "config.json").string());
  const SafetensorsFolder table(folder);
  FileTensors tensors(table);
  LoadedModel model;
  model.config = description.config;
  model.weights = assemble_weights(description, NameStyle::kHuggingFace, tensors);
  tensors.refuse_unused(is_harmless_tensor);
  for (const auto& file : table.files()) {
    model.file_bytes += static_cast<int64_t>(file->bytes().size());
    model.storage.push_back(file);
  }
  return model;
}

// The one *.gguf of a folder, or nothing; throws when there are several.
std::string find_gguf(const std::string& folder) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".gguf") found.push_back(entry.path().string());
  }
  if (found.size() > 1) {
    std::sort(found.begin(), found.end());
    throw Error({.what = "several GGUF files in the folder",
                 .where = folder,
                 .got = fmt::format("{}", fmt::join(found, ", ")),
                 .hint = "name one of them"});
  }
  return found.empty() ? "" : found.front();
}

LoadedModel load_folder(const std::string& folder) {
  std::error_code ignored;
  const bool has_config = fs::exists(fs::path(folder) / "config.json", ignored);
  const bool has_weights = SafetensorsFolder::is_present(folder);
  if (has_config && has_weights) return load_safetensors(folder);
  const std::string gguf = find_gguf(folder);
  if (!gguf.empty()) return load_gguf(gguf);
  const bool has_pickle = fs::exists(fs::path(folder) / "pytorch_model.bin", ignored) ||
                          fs::exists(fs::path(folder) / "pytorch_model.bin.index.json", ignored);
  throw Error({.what = "no model in the folder",
               .where = folder,
               .expected = "config.json with model.safetensors (or its index), or one GGUF file",
               .got = has_pickle   ? "pytorch_model.bin, which is not read"
                      : has_config ? "config.json without weights"
                                   : "neither",
               .hint = has_pickle ? "save the model with safe_serialization=True" : ""});
}

// "CONFIG.json[:seed]"; a suffix of digits is the seed.
LoadedModel load_synthetic(std::string_view spec, bool made_by_device) {
  std::string config_path(spec);
  uint64_t seed = 0;
  if (const size_t colon = spec.rfind(':'); colon != spec.npos) {
    const std::string_view digits = spec.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), seed);
    if (digits.empty() || error != std::errc() || end != digits.end()) {
      throw Error({.what = "bad seed of a synthetic model",
                   .where = fmt::format("{}{}", kSyntheticPrefix, spec),
                   .expected = "synthetic:CONFIG.json[:SEED], SEED an integer below 2^64",
                   .got = std::string(digits)});
    }
    config_path = spec.substr(0, colon);
  }
  std::error_code ignored;
  if (fs::is_directory(config_path, ignored)) config_path += "/config.json";
  const ModelDescription description = read_hf_config(config_path);
  if (!made_by_device) check_memory_for(description, config_path);
  SyntheticTensors tensors(description.dtype, description.config.num_layers, seed, made_by_device);
  LoadedModel model;
  model.config = description.config;
  model.weights = assemble_weights(description, NameStyle::kHuggingFace, tensors);
  model.storage = tensors.storage();
  return model;
}

Error missing_model(const std::string& path) {
  std::string lower = path;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const bool is_demo = lower.find("smollm2") != std::string::npos;
  return Error({.what = "no such model",
                .where = path,
                .expected = "a Hugging Face folder, a GGUF file, or synthetic:CONFIG.json[:seed]",
                .hint = is_demo ? "scripts/fetch_model smollm2 downloads the demo model"
                                : "scripts/fetch_model smollm2 downloads a small model to try"});
}

LoadedModel load_any(const std::string& path) {
  if (path.starts_with(kSyntheticPrefix)) {
    return load_synthetic(std::string_view(path).substr(kSyntheticPrefix.size()), false);
  }
  if (path.starts_with(kDevicePrefix)) {
    return load_synthetic(std::string_view(path).substr(kDevicePrefix.size()), true);
  }
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw missing_model(path);
  if (fs::is_directory(path, ignored)) return load_folder(path);
  if (path.ends_with(".safetensors")) {
    throw Error({.what = "a safetensors file alone is no model",
                 .where = path,
                 .expected = "the folder that also holds config.json"});
  }
  return load_gguf(path);
}

}  // namespace

LoadedModel load_model(const std::string& path, const std::string& adapter) {
  try {
    LoadedModel model = load_any(path);
    model.path = path;
    if (!adapter.empty() && model.weights.embedding.fill.begin != nullptr) {
      throw Error({.what = "an adapter cannot be merged into weights that the device makes",
                   .where = path,
                   .hint = "synthetic: in place of device-synthetic: makes them on the host"});
    }
    if (!adapter.empty()) merge_adapter(model, adapter);
    return model;
  } catch (const std::bad_alloc&) {
    throw Error({.what = "not enough memory to load the model", .where = path});
  } catch (const fs::filesystem_error& error) {
    throw Error({.what = error.what(), .where = path});
  }
}

}  // namespace skipbench
