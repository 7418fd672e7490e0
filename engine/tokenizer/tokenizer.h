// Text to token ids and back, as Hugging Face tokenizers and llama.cpp do it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skipbench {

// A piece of a prompt. Special tokens ("<|im_start|>") are recognised in template text and never in
// data text; the text between two special tokens is tokenised as one, across segment borders.
struct TextSegment {
  std::string text;
  bool is_template = false;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Token ids of the concatenated segments. With `add_special` the tokens that the model's own
  // configuration puts around a text (BOS, EOS) are added.
  virtual std::vector<int32_t> encode(std::span<const TextSegment> segments,
                                      bool add_special) const = 0;

  // Bytes of `ids`. Exact inverse of encode for byte-level BPE on any byte string, as far as the
  // vocabulary has tokens for all bytes (SmolLM2's lacks 21 rare ones, which encode drops, as
  // Hugging Face does) and no normalizer changes the text (Qwen2's composes to NFC). Special tokens
  // give their text, or nothing with `skip_special`. Throws Error for an id outside the vocabulary.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special) const = 0;

  // As decode, leaving out ids that the vocabulary lacks: a model may have more embeddings than its
  // tokenizer has tokens (padding), and those have no text, as in Hugging Face's decoding.
  std::string decode_known(std::span<const int32_t> ids, bool skip_special) const;

  virtual int32_t vocab_size() const = 0;
  virtual int32_t begin_of_text_id() const = 0;  // -1: none

  // Data text without special tokens.
  std::vector<int32_t> encode(std::string_view text, bool add_special = false) const {
    const TextSegment segment{std::string(text), false};
    return encode(std::span(&segment, 1), add_special);
  }
};

// `path`: a model folder (tokenizer.json, else tokenizer.model, else its one GGUF), a GGUF (with or
// without weights), a tokenizer.json, or a sentencepiece .model file. Throws Error saying what was
// looked for, and refuses tokenizer kinds and pre-tokenizers it does not know by name.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

}  // namespace skipbench
