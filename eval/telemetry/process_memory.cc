#include "eval/telemetry/process_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "eval/telemetry/kernel_file.h"

namespace skipbench {

bool ProcessMemory::reset_peak() const {
  const int file = open((folder_ + "/clear_refs").c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool written = write(file, "5", 1) == 1;  // CLEAR_REFS_MM_HIWATER_RSS
  close(file);
  return written;
}

std::optional<int64_t> ProcessMemory::peak_bytes() const {
  constexpr std::string_view kName = "VmHWM:", kUnit = " kB";
  std::ifstream status(folder_ + "/status", std::ios::binary);
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(kName) || !line.ends_with(kUnit)) continue;
    const auto kib = parse_kernel_number(
        std::string_view(line).substr(kName.size(), line.size() - kName.size() - kUnit.size()));
    if (!kib || *kib > (INT64_MAX >> 10)) return std::nullopt;
    return *kib << 10;
  }
  return std::nullopt;
}

}  // namespace skipbench
