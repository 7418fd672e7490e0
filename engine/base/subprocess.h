// Runs a program to its end with a time limit, and leaves no process of it behind.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace skipbench {

struct ProcessResult {
  int exit_code = 0;  // 128 + signal if one ended it
  bool timed_out = false;
  std::string output, errors;  // of stdout and stderr
};

// argv[0] is looked up in PATH. `input` goes to stdin. The program gets a process group of its own,
// which is killed when it ends or `timeout_seconds` have passed. Throws Error if it cannot be
// started or writes more than `max_output_bytes`.
ProcessResult run_process(std::span<const std::string> argv, std::string_view input,
                          double timeout_seconds, size_t max_output_bytes = size_t{1} << 30);

}  // namespace skipbench
