// Text files (data sets, references, hypotheses): plain or gzip, UTF-8, lines end at LF alone.
#pragma once

#include <string>
#include <vector>

namespace skipbench {

// A whole file, decompressed when it is gzip. Throws Error when it cannot be read or the gzip data
// is broken.
std::string read_text_file(const std::string& path);

// What a CR before LF is: part of the line end, or of the line.
enum class CarriageReturn { kDrop, kKeep };

// Lines without their LF. Text after the last LF is a line. Other separators (U+2028, U+0085, form
// feed) stay inside lines: parallel files are aligned by LF. Throws Error naming file and line for
// bytes that are not UTF-8.
std::vector<std::string> read_text_lines(const std::string& path,
                                         CarriageReturn carriage_return = CarriageReturn::kDrop);

}  // namespace skipbench
