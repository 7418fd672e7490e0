// The BPE model of a tokenizer.json or of a `gpt2` GGUF: words to ids by ranked merges.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace skipbench {

class BpeModel {
 public:
  struct Options {
    bool ignore_merges = false;  // a word that is in the vocabulary is one token
    bool byte_fallback = false;  // characters without a token become <0x00> ... <0xFF>
    bool fuse_unk = false;
    std::optional<int32_t> unk_id;  // without one, characters without a token are dropped
  };

  explicit BpeModel(Options options) : options_(options) {}

  void add_token(std::string text, int32_t id);
  // Two tokens that merge, in order of rank. Throws Error naming `where` and the missing text when
  // a part or the result is not in the vocabulary.
  void add_merge(std::string_view left, std::string_view right, const std::string& where);

  std::optional<int32_t> find(std::string_view text) const;

  // Appends the ids of `word` (valid UTF-8), within which everything may merge.
  void encode_word(std::string_view word, std::vector<int32_t>* ids) const;

 private:
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  struct RankedMerge {
    int32_t rank = 0;
    int32_t id = 0;
  };

  // Symbols of a character that is not in the vocabulary.
  bool fall_back_to_bytes(std::string_view character, uint32_t begin,
                          std::vector<struct Symbol>* symbols) const;

  Options options_;
  std::unordered_map<std::string, int32_t, TextHash, std::equal_to<>> ids_;
  std::unordered_map<uint64_t, RankedMerge> merges_;  // by left id << 32 | right id
  int64_t merge_count_ = 0;
};

}  // namespace skipbench
