// A table of texts, between a ResultTable and Markdown or LaTeX.
#pragma once

#include <string>
#include <vector>

namespace skipbench {

struct GridCell {
  std::string text;
  bool bold = false;
};

struct Grid {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<GridCell>> rows;  // each as long as the header
  size_t text_columns = 1;                  // aligned left; those after them right
  std::vector<size_t> rules;                // a line above these rows, where the format has lines
  std::vector<std::string> notes;           // below the table, a line each, `code` in backticks
  std::vector<std::string> remarks;         // LaTeX: in small print below the table, likewise
};

std::string markdown_grid(const Grid& grid);

// A table environment for the booktabs package; texts are escaped.
std::string latex_grid(const Grid& grid);

}  // namespace skipbench
