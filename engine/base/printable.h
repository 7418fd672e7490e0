// Text of others made safe to print.
#pragma once

#include <string>
#include <string_view>

namespace skipbench {

// `text` with control characters (but line feed and tab; C1 too) and bytes that are not UTF-8
// written as \xNN: a NUL would end a message, an escape sequence reach the terminal.
std::string printable(std::string_view text);

}  // namespace skipbench
