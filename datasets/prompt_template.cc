#include "datasets/prompt_template.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/error.h"

namespace skipbench {

PromptTemplate::PromptTemplate(std::string_view text, std::string where)
    : where_(std::move(where)) {
  std::string literal;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
      literal += c;
      ++i;
      continue;
    }
    if (c != '{' && c != '}') {
      literal += c;
      continue;
    }
    const size_t end = c == '{' ? text.find_first_of("{}", i + 1) : std::string_view::npos;
    if (end == std::string_view::npos || text[end] != '}' || end == i + 1) {
      throw Error({.what = "a brace without its partner or without a name",
                   .where = where_,
                   .expected = "{field}, or {{ and }} for braces",
                   .got = fmt::format("'{}' at character {}", c, i + 1)});
    }
    if (!literal.empty()) pieces_.push_back({std::move(literal), false});
    literal.clear();
    std::string name(text.substr(i + 1, end - i - 1));
    if (std::find(names_.begin(), names_.end(), name) == names_.end()) names_.push_back(name);
    pieces_.push_back({std::move(name), true});
    i = end;
  }
  if (!literal.empty()) pieces_.push_back({std::move(literal), false});
}

std::vector<TextSegment> PromptTemplate::fill(
    const std::map<std::string, std::string>& fields) const {
  std::vector<TextSegment> segments;
  for (const Piece& piece : pieces_) {
    if (!piece.is_field) {
      segments.push_back({piece.text, true});
      continue;
    }
    const auto found = fields.find(piece.text);
    if (found == fields.end()) {
      std::vector<std::string> known;
      for (const auto& [name, value] : fields) known.push_back(name);
      throw unknown_name("field", piece.text, known, where_);
    }
    segments.push_back({found->second, false});
  }
  return segments;
}

}  // namespace skipbench
