// Single values in the files of /proc and /sys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace skipbench {

// The first line, without its end and at most 4,096 bytes of it; nothing where it cannot be read.
std::optional<std::string> kernel_line(const std::string& path);

// A number without sign that is all of `text`, white space around it aside; nothing for anything
// else, or what is above 2^63 - 1.
std::optional<int64_t> parse_kernel_number(std::string_view text);

// The first line as such a number.
std::optional<int64_t> kernel_number(const std::string& path);

}  // namespace skipbench
