// The `llama` vocabulary of a GGUF: sentencepiece's BPE, which merges by the score of the result.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/tokenizer/vocabulary_tokenizer.h"

namespace skipbench {

// sentencepiece's token types, as GGUF stores them in tokenizer.ggml.token_type.
enum class TokenType : int { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

struct SpmParts {
  struct Entry {
    std::string text;
    double score = 0;
    TokenType type = TokenType::kNormal;
  };
  std::string where;
  std::vector<Entry> entries;    // by id
  bool add_space_prefix = true;  // of every stretch of text between special tokens
  SpecialTokens special;
};

// Bytes that are not UTF-8 become U+FFFD, as in sentencepiece. Characters without a token become
// byte tokens, or the unknown token where the vocabulary has none.
class SpmTokenizer : public VocabularyTokenizer {
 public:
  explicit SpmTokenizer(SpmParts parts);

 protected:
  void encode_text(std::string_view text, bool is_first, std::vector<int32_t>* ids) const override;

 private:
  struct Scored {
    int32_t id = 0;
    double score = 0;
  };

  void append_bytes(std::string_view character, std::vector<int32_t>* ids) const;

  bool add_space_prefix_;
  std::unordered_map<std::string_view, Scored> pieces_;  // views into piece_text_
  std::vector<std::string> piece_text_;
  std::vector<int32_t> byte_ids_;  // by byte; -1: none
  int32_t unknown_id_ = -1;
};

}  // namespace skipbench
