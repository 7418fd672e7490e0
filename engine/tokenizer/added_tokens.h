// Tokens that are cut out of a text before the model sees it: the markers of a chat template, runs
// of blanks, and the like.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace skipbench {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // recognised in template text alone
  bool normalized = false;   // looked for after normalisation (never for special tokens)
  bool single_word = false;  // not next to a word character
  bool lstrip = false;       // takes the white space to its left along
  bool rstrip = false;
};

// A prompt with the parts of it that are template text.
class SegmentedText {
 public:
  explicit SegmentedText(std::span<const TextSegment> segments);

  std::string_view text() const { return text_; }
  // Whether [begin, end) lies in template text.
  bool in_template(size_t begin, size_t end) const;

 private:
  struct Range {
    size_t begin = 0;
    size_t end = 0;
  };

  std::string text_;
  std::vector<Range> templates_;  // ascending; neighbours are joined
};

class AddedTokens {
 public:
  struct Piece {
    int32_t id = -1;  // -1: text between added tokens
    std::string_view text;
  };

  void add(AddedToken token);
  bool empty() const { return empty_; }

  // Cuts `text` at the leftmost, longest tokens. Special tokens are looked for only within template
  // text, and not at all where `prompt` is null; otherwise `prompt->text()` is `text`.
  std::vector<Piece> split(std::string_view text, const SegmentedText* prompt) const;

 private:
  const AddedToken* find(std::string_view text, size_t at, const SegmentedText* prompt) const;

  std::array<std::vector<AddedToken>, 256> by_first_byte_;  // the longest first
  bool empty_ = true;
};

}  // namespace skipbench
