// BPE with ranked merges: GPT-2's byte-level kind, and the kind that imitates sentencepiece.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/tokenizer/bpe_model.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/vocabulary_tokenizer.h"

namespace skipbench {

// A tokenizer.json's `normalizer`, step by step.
class Normalizer {
 public:
  struct Nfc {};
  struct Prepend {
    std::string text;
  };
  struct Replace {
    Regex pattern;
    std::string by;
  };
  using Step = std::variant<Nfc, Prepend, Replace>;

  Normalizer() = default;
  explicit Normalizer(std::vector<Step> steps) : steps_(std::move(steps)) {}
  std::string apply(std::string_view text) const;  // `text` is valid UTF-8

 private:
  std::vector<Step> steps_;
};

// How a tokenizer is put together; what a tokenizer.json and a `gpt2` GGUF both come down to.
struct BpeParts {
  struct VocabularyEntry {
    std::string text;
    int32_t id = 0;
    bool model_token = true;  // false: an added token alone, which merges never make
  };
  std::string where;  // file, for messages
  std::vector<VocabularyEntry> vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;  // in order of rank
  std::vector<AddedToken> added;
  BpeModel::Options options;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  SpecialTokens special;
  bool strip_first_space = false;
};

// In byte-level BPE a maximal run of bytes that are not UTF-8 is a word of its own: patterns and
// normalizers see the valid text on its two sides, and the run comes back byte for byte (as far as
// the vocabulary has tokens for such bytes). In the other kind each such byte becomes U+FFFD.
class BpeTokenizer : public VocabularyTokenizer {
 public:
  explicit BpeTokenizer(BpeParts parts);

 protected:
  void encode_text(std::string_view text, bool is_first, std::vector<int32_t>* ids) const override;

 private:
  void encode_valid(std::string_view text, bool is_first, std::vector<int32_t>* ids) const;

  BpeModel model_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  AddedTokens normalized_added_;  // looked for in normalised text
};

}  // namespace skipbench
