// A folder of a test's own.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <stdexcept>
#include <string>

namespace skipbench {

// Makes a new, empty folder with `what` in its name; whoever made it removes it.
inline std::filesystem::path make_temp_folder(const std::string& what) {
  const auto pattern = std::filesystem::temp_directory_path() / ("skipbench_" + what + "_XXXXXX");
  std::string name = pattern.string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed: " + name);
  return name;
}

}  // namespace skipbench
