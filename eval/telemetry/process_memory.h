// The most memory that this process has had in RAM, as Linux counts it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace skipbench {

inline constexpr char kProcessFolder[] = "/proc/self";

class ProcessMemory {
 public:
  // `folder`: /proc/self, or a test's own.
  explicit ProcessMemory(std::string folder = kProcessFolder) : folder_(std::move(folder)) {}

  // Lets the peak begin anew at what the process has now (5 into clear_refs). False where that is
  // not allowed: then a peak would be that of the process's whole life.
  bool reset_peak() const;

  // VmHWM of /proc/self/status, bytes: the most pages in RAM at once, files that are mapped
  // (weights) included, as far as they were touched; swapped pages are not in it. Nothing where it
  // is not there.
  std::optional<int64_t> peak_bytes() const;

 private:
  std::string folder_;
};

}  // namespace skipbench
