// Pieces of an HTML page. Whatever text goes in comes out as text: no name of a data set and no
// output of a model can become markup.
#pragma once

#include <string>
#include <string_view>

#include "eval/report/grid.h"

namespace skipbench {

// For element content and quoted attributes alike. Bytes that are not UTF-8 and control characters
// become U+FFFD, so that the page stays valid; line breaks and tabs stay.
std::string escaped_html(std::string_view text);

// Text with `code` in backticks.
std::string html_note(std::string_view text);

// A table in a box of its own that scrolls sideways, so that the page need not.
std::string html_grid(const Grid& grid);

// RFC 4648, for data: addresses.
std::string base64(std::string_view bytes);

}  // namespace skipbench
