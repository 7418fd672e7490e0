// Prompts are templates: "Translate this.\n{source}\nEnglish:".
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace skipbench {

class PromptTemplate {
 public:
  // `{name}` names a field, `{{` and `}}` are braces. Throws Error naming `where` and the column
  // for a brace without its partner or an empty name.
  PromptTemplate(std::string_view text, std::string where);

  // Names in order of appearance, each once.
  const std::vector<std::string>& names() const { return names_; }

  // Throws Error for a name that is not among the fields (the nearest first).
  std::vector<TextSegment> fill(const std::map<std::string, std::string>& fields) const;

 private:
  struct Piece {
    std::string text;  // literal text, or a field's name
    bool is_field = false;
  };

  std::string where_;
  std::vector<Piece> pieces_;
  std::vector<std::string> names_;
};

}  // namespace skipbench
