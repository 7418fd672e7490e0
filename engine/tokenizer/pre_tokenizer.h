// Splits a text into the words within which BPE merges, as a tokenizer.json's `pre_tokenizer` says.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/tokenizer/regex.h"

namespace skipbench {

// What becomes of the matches of a Split (Hugging Face's SplitDelimiterBehavior).
enum class SplitBehavior { kIsolated, kRemoved, kContiguous, kMergedWithPrevious, kMergedWithNext };

struct SplitStep {
  Regex pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // the text between the matches counts as the matches
};

// Writes the text in byte-level characters; steps after it see those.
struct ByteLevelStep {
  bool add_prefix_space = false;
  std::optional<Regex> pattern;
};

// Blanks become U+2581.
struct MetaspaceStep {
  enum class Prepend { kNever, kFirst, kAlways } prepend = Prepend::kNever;
  bool split = false;
};

class PreTokenizer {
 public:
  using Step = std::variant<SplitStep, ByteLevelStep, MetaspaceStep>;

  PreTokenizer() = default;
  explicit PreTokenizer(std::vector<Step> steps);

  // Whether words come out in byte-level characters.
  bool byte_level() const { return byte_level_; }

  // Words of `text` (valid UTF-8). `is_first`: the text begins at the beginning of the prompt.
  std::vector<std::string> split(std::string_view text, bool is_first) const;

 private:
  std::vector<Step> steps_;
  bool byte_level_ = false;
};

// GPT-2's pattern, the default of ByteLevel.
Regex gpt2_pattern();

// The pre-tokenizer that a GGUF names in `tokenizer.ggml.pre`, and what else hangs on that name.
struct NamedPreTokenizer {
  PreTokenizer pre_tokenizer;
  bool nfc = false;            // the model's normalizer, which a GGUF does not store
  bool ignore_merges = false;  // a word that is in the vocabulary is one token
  bool add_bos = false;        // when tokenizer.ggml.add_bos_token is absent
};

// Throws Error naming the known pre-tokenizers for an unknown one.
NamedPreTokenizer named_pre_tokenizer(std::string_view name, const std::string& where);

}  // namespace skipbench
