#include "eval/report/html.h"

#include <fmt/format.h>

#include "engine/base/utf8.h"

namespace skipbench {
namespace {

bool is_control(char32_t code) {
  const bool kept = code == '\n' || code == '\t';
  return (code < 0x20 && !kept) || (code >= 0x7f && code < 0xa0);
}

std::string html_row(const std::vector<GridCell>& cells, size_t text_columns, const char* tag) {
  std::string text = "<tr>";
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string inner = escaped_html(cells[i].text);
    text += fmt::format("<{}{}>{}</{}>", tag, i < text_columns ? " class=text" : "",
                        cells[i].bold ? "<b>" + inner + "</b>" : inner, tag);
  }
  return text + "</tr>\n";
}

}  // namespace

std::string escaped_html(std::string_view text) {
  std::string safe;
  for (size_t at = 0; at < text.size();) {
    const char32_t code = next_code_point(text, &at);
    switch (code) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        append_utf8(is_control(code) ? kReplacementCharacter : code, &safe);
    }
  }
  return safe;
}

std::string html_note(std::string_view text) {
  std::string note;
  bool code = false;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('`', begin), text.size());
    const std::string part = escaped_html(text.substr(begin, end - begin));
    note += code ? "<code>" + part + "</code>" : part;
    code = !code;
    begin = end + 1;
  }
  return note;
}

std::string html_grid(const Grid& grid) {
  std::string text = "<div class=scroll tabindex=0><table>\n<thead>\n";
  std::vector<GridCell> header;
  for (const std::string& name : grid.header) header.push_back({name});
  text += html_row(header, grid.text_columns, "th") + "</thead>\n<tbody>\n";
  for (const auto& row : grid.rows) text += html_row(row, grid.text_columns, "td");
  text += "</tbody>\n</table></div>\n";
  if (grid.notes.empty()) return text;
  text += "<ul class=notes>\n";
  for (const std::string& note : grid.notes) text += "<li>" + html_note(note) + "</li>\n";
  return text + "</ul>\n";
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - at);
    uint32_t group = 0;
    for (size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0);
    }
    for (size_t i = 0; i < 4; ++i) {
      text += i <= count ? kDigits[group >> (18 - 6 * i) & 63] : '=';
    }
  }
  return text;
}

}  // namespace skipbench
