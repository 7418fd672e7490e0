#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "engine/base/error.h"
#include "engine/tokenizer/loaders.h"

namespace skipbench {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Tokenizer> load_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string magic(4, '\0');
  file.read(magic.data(), 4);
  if (magic == "GGUF") return load_gguf_tokenizer(path);
  // A sentencepiece model begins with protobuf's tag of its first piece, 0x0A, which is also a line
  // break; JSON files of transformers begin with '{'.
  if (magic[0] == '{') return load_hf_tokenizer(path);
  return load_sentencepiece_tokenizer(path);
}

std::unique_ptr<Tokenizer> load_folder(const std::string& path) {
  const fs::path folder(path);
  if (const fs::path file = folder / "tokenizer.json"; fs::exists(file)) {
    return load_hf_tokenizer(file.string());
  }
  if (const fs::path file = folder / "tokenizer.model"; fs::exists(file)) {
    return load_sentencepiece_tokenizer(file.string());
  }
  std::vector<std::string> ggufs;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".gguf") ggufs.push_back(entry.path().string());
  }
  if (ggufs.size() == 1) return load_gguf_tokenizer(ggufs[0]);
  throw Error({.what = "no tokenizer found",
               .where = path,
               .expected = "tokenizer.json, tokenizer.model or one .gguf file",
               .got = ggufs.empty() ? "none of them" : fmt::format("{} GGUFs", ggufs.size()),
               .hint = ggufs.empty() ? "" : "name one of the files"});
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    throw Error({.what = "no such file or folder",
                 .where = path,
                 .hint = "scripts/fetch_model smollm2 fetches the demo model"});
  }
  if (fs::is_directory(status)) return load_folder(path);
  if (fs::is_regular_file(status)) return load_file(path);
  throw Error({.what = "not a regular file",  // opening a named pipe would wait for its writer
               .where = path,
               .expected = "a tokenizer's file or folder"});
}

}  // namespace skipbench
