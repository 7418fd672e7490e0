#include "eval/report/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace skipbench {
namespace {

// A bar or line break would end the cell.
std::string markdown_cell(const GridCell& cell) {
  std::string text;
  for (const char c : cell.text) {
    if (c == '|') text.push_back('\\');
    text.push_back(c == '\n' ? ' ' : c);
  }
  return cell.bold ? fmt::format("**{}**", text) : text;
}

// Display width: the only characters beyond ASCII here are single-width ones.
size_t width_of(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

std::string escaped_latex(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '\\':
        safe += "\\textbackslash{}";
        break;
      case '~':
        safe += "\\textasciitilde{}";
        break;
      case '^':
        safe += "\\textasciicircum{}";
        break;
      case '<':
        safe += "\\textless{}";
        break;
      case '>':
        safe += "\\textgreater{}";
        break;
      case '|':
        safe += "\\textbar{}";
        break;
      case '\n':
        safe += ' ';
        break;
      case '&':
      case '%':
      case '$':
      case '#':
      case '_':
      case '{':
      case '}':
        safe += '\\';
        safe += c;
        break;
      default:
        safe += c;
    }
  }
  for (size_t at = 0; (at = safe.find("±", at)) != std::string::npos;) {
    safe.replace(at, std::string_view("±").size(), "$\\pm$");
  }
  return safe;
}

// Text with `code`; a backtick without a second one is text.
std::string latex_note(const std::string& text) {
  std::string note;
  size_t begin = 0;
  for (size_t open = 0; (open = text.find('`', begin)) != std::string::npos;) {
    const size_t close = text.find('`', open + 1);
    if (close == std::string::npos) break;
    note += escaped_latex(std::string_view(text).substr(begin, open - begin));
    note += fmt::format("\\texttt{{{}}}",
                        escaped_latex(std::string_view(text).substr(open + 1, close - open - 1)));
    begin = close + 1;
  }
  return note + escaped_latex(std::string_view(text).substr(begin));
}

// As wide as the text: a table may be narrower or wider.
std::string latex_remarks(const std::vector<std::string>& remarks) {
  if (remarks.empty()) return "";
  std::string text = "\\par\\smallskip\n\\parbox{\\linewidth}{\\footnotesize\\raggedright\n";
  for (const std::string& remark : remarks) text += latex_note(remark) + "\\par\n";
  return text + "}\n";
}

std::string latex_row(const std::vector<std::string>& cells) {
  std::string text;
  // After the \\ of the row before, LaTeX would take these for its options.
  if (!cells.empty() && (cells[0].starts_with('[') || cells[0].starts_with('*'))) text = "{}";
  for (size_t i = 0; i < cells.size(); ++i) text += (i == 0 ? "" : " & ") + cells[i];
  return text + " \\\\\n";
}

}  // namespace

std::string markdown_grid(const Grid& grid) {
  std::vector<std::vector<std::string>> texts(1);
  for (const std::string& name : grid.header) texts[0].push_back(markdown_cell({name}));
  for (const auto& row : grid.rows) {
    auto& cells = texts.emplace_back();
    for (const GridCell& cell : row) cells.push_back(markdown_cell(cell));
  }
  std::vector<size_t> widths(grid.header.size(), 1);
  for (const auto& row : texts) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text = grid.title.empty() ? "" : "## " + grid.title + "\n\n";
  for (size_t r = 0; r < texts.size(); ++r) {
    for (size_t i = 0; i < widths.size(); ++i) {
      const std::string padding(widths[i] - width_of(texts[r][i]), ' ');
      if (i == 0) text += "| ";
      text += i < grid.text_columns ? texts[r][i] + padding : padding + texts[r][i];
      text += i + 1 == widths.size() ? " |\n" : " | ";
    }
    if (r > 0) continue;
    for (size_t i = 0; i < widths.size(); ++i) {
      text +=
          fmt::format("|{}{}", std::string(widths[i] + 1, '-'), i < grid.text_columns ? "-" : ":");
    }
    text += "|\n";
  }
  text += "\n";
  for (const std::string& note : grid.notes) text += "- " + note + "\n";
  return text + (grid.notes.empty() ? "" : "\n");
}

std::string latex_grid(const Grid& grid) {
  std::string text = "% needs \\usepackage{booktabs}\n\\begin{table}\n\\centering\n";
  text +=
      fmt::format("\\begin{{tabular}}{{{}{}}}\n\\toprule\n", std::string(grid.text_columns, 'l'),
                  std::string(grid.header.size() - grid.text_columns, 'r'));
  std::vector<std::string> cells;
  for (const std::string& name : grid.header) cells.push_back(escaped_latex(name));
  text += latex_row(cells) + "\\midrule\n";
  for (size_t r = 0; r < grid.rows.size(); ++r) {
    if (std::find(grid.rules.begin(), grid.rules.end(), r) != grid.rules.end()) {
      text += "\\midrule\n";
    }
    cells.clear();
    for (const GridCell& cell : grid.rows[r]) {
      const std::string safe = escaped_latex(cell.text);
      cells.push_back(cell.bold ? fmt::format("\\textbf{{{}}}", safe) : safe);
    }
    text += latex_row(cells);
  }
  text += "\\bottomrule\n\\end{tabular}\n" + latex_remarks(grid.remarks);
  std::string caption = escaped_latex(grid.title);
  for (const std::string& note : grid.notes)
    caption += (caption.empty() ? "" : ". ") + latex_note(note);
  if (!caption.empty()) text += "\\caption{" + caption + "}\n";
  return text + "\\end{table}\n";
}

}  // namespace skipbench
