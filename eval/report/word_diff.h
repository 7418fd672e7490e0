// Which words of a text are not in another one, in order: what a reader's eye looks for in two
// translations of one sentence.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace skipbench {

// A piece of the text; all pieces in order are the text. `differs`: its words are not in the other
// text's longest common subsequence with it.
struct TextPiece {
  std::string text;
  bool differs = false;
};

// Words end at white space; the space after a word belongs to its piece. Neighbours that both
// differ, or both do not, are one piece.
std::vector<TextPiece> word_differences(std::string_view text, std::string_view other);

}  // namespace skipbench
