// Text files (data sets, references, hypotheses): plain or gzip, UTF-8, lines end at LF alone.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace skipbench {

constexpr size_t kMostTextBytes = size_t{1} << 30;
constexpr size_t kMostSmallBytes = size_t{64} << 20;

// A whole file, decompressed when it is gzip; also a pipe of the shell, `<(...)`, and standard
// input as /dev/stdin. Throws Error when it cannot be read, is a device or a named pipe, has more
// bytes, or the gzip data is broken.
std::string read_text_file(const std::string& path, size_t most_bytes = kMostTextBytes);

// The bytes of a regular file that people write (configuration, template, list of numbers). Throws
// Error when it cannot be read, is anything else, or has more bytes.
std::string read_small_file(const std::string& path, size_t most_bytes = kMostSmallBytes);

// What a CR before LF is: part of the line end, or of the line.
enum class CarriageReturn { kDrop, kKeep };

// Lines without their LF. Text after the last LF is a line. Other separators (U+2028, U+0085, form
// feed) stay inside lines: parallel files are aligned by LF. Throws Error naming file and line for
// bytes that are not UTF-8.
std::vector<std::string> read_text_lines(const std::string& path,
                                         CarriageReturn carriage_return = CarriageReturn::kDrop);

}  // namespace skipbench
