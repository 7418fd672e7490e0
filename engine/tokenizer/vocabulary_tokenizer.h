// What every tokenizer over a table of tokens shares: cutting out added tokens, the tokens around a
// text, and decoding token by token.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/tokenizer.h"

namespace skipbench {

// What a model's configuration says about special tokens.
struct SpecialTokens {
  int32_t begin_of_text = -1;   // -1: none
  std::vector<int32_t> before;  // added around a text by `add_special`
  std::vector<int32_t> after;
};

class VocabularyTokenizer : public Tokenizer {
 public:
  using Tokenizer::encode;
  std::vector<int32_t> encode(std::span<const TextSegment> segments,
                              bool add_special) const override;
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override;
  int32_t vocab_size() const override { return static_cast<int32_t>(tokens_.size()); }
  int32_t begin_of_text_id() const override { return special_.begin_of_text; }

 protected:
  struct Token {
    std::string bytes;     // what it decodes to; special tokens: their text
    bool special = false;  // left out with skip_special
    bool exists = false;   // ids may have gaps
  };

  // Puts `token` at `id`, over what was there.
  void set_token(int32_t id, Token token);
  // Makes `token` one that is cut out of texts; it decodes to its text.
  void add_added_token(const AddedToken& token);

  // Appends the ids of a text without added tokens. `is_first`: nothing came before it.
  virtual void encode_text(std::string_view text, bool is_first,
                           std::vector<int32_t>* ids) const = 0;

  AddedTokens added_;
  SpecialTokens special_;
  bool strip_first_space_ = false;  // decoding drops the blank that encoding put before the text

 private:
  const Token& token(int32_t id) const;

  std::vector<Token> tokens_;
};

}  // namespace skipbench
