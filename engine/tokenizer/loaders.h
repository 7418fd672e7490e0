// The file formats behind load_tokenizer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/tokenizer/bpe_tokenizer.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/weights/json_file.h"

namespace skipbench {

// A Hugging Face tokenizer.json. A tokenizer_config.json beside it names the BOS token.
std::unique_ptr<Tokenizer> load_hf_tokenizer(const std::string& path);

// Vocabulary of a GGUF: tokenizer.ggml.model `gpt2` or `llama`.
std::unique_ptr<Tokenizer> load_gguf_tokenizer(const std::string& path);

// A sentencepiece .model. A tokenizer_config.json or added_tokens.json beside it adds tokens.
std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(const std::string& path);

// Parts of a tokenizer.json. Each throws Error with file and key for a kind it does not know.
Normalizer hf_normalizer(const JsonObject& file);
PreTokenizer hf_pre_tokenizer(const JsonObject& file);

// The objects of an array under `key`; none when it is absent.
std::vector<JsonObject> json_objects(const JsonObject& parent, std::string_view key);
// Value of `key`, or Error naming it.
std::string required_string(const JsonObject& object, std::string_view key);

// Content of a token in tokenizer_config.json: a string, or an object with `content`.
std::string token_content(const JsonObject& config, std::string_view key);

// Ids above this are refused: a table of that many tokens would come from a lying file.
constexpr int64_t kMaxTokenId = (1 << 22) - 1;
int32_t checked_token_id(int64_t id, const std::string& where);

}  // namespace skipbench
