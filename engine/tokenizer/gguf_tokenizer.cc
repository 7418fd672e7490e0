// Vocabulary in a GGUF's metadata:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer
#include <fmt/format.h>

#include <array>

#include "engine/base/error.h"
#include "engine/tokenizer/loaders.h"
#include "engine/tokenizer/spm_tokenizer.h"
#include "engine/tokenizer/utf8.h"
#include "engine/weights/gguf.h"

namespace skipbench {
namespace {

std::string where(const GgufFile& file, std::string_view key) {
  return fmt::format("{}: key '{}'", file.path(), key);
}

void check_length(const GgufFile& file, std::string_view key, size_t length, size_t tokens) {
  if (length == tokens) return;
  throw Error({.what = "arrays of different length",
               .where = where(file, key),
               .expected = fmt::format("{} entries, one per token", tokens),
               .got = fmt::format("{}", length)});
}

std::vector<TokenType> token_types(const GgufFile& file, size_t tokens) {
  constexpr std::string_view kKey = "tokenizer.ggml.token_type";
  std::vector<TokenType> types(tokens, TokenType::kNormal);
  if (!file.has(kKey)) return types;
  const std::vector<int64_t> values = file.integers(kKey);
  check_length(file, kKey, values.size(), tokens);
  for (size_t i = 0; i < tokens; ++i) {
    // 0 ("undefined") is written by nobody but read by llama.cpp as an ordinary token.
    if (values[i] >= 1 && values[i] <= 6) types[i] = static_cast<TokenType>(values[i]);
  }
  return types;
}

// Names that llama.cpp's converter gives to the rows by which an embedding is longer than the
// vocabulary. Older files call them user-defined, which would find them in texts.
bool is_padding(std::string_view text, size_t id) { return text == fmt::format("[PAD{}]", id); }

int32_t special_id(const GgufFile& file, std::string_view key, size_t tokens) {
  if (!file.has(key)) return -1;
  const int64_t id = file.integer(key);
  if (id < 0 || static_cast<uint64_t>(id) >= tokens) {
    throw Error({.what = "token id outside the vocabulary",
                 .where = where(file, key),
                 .expected = fmt::format("0 to {}", tokens - 1),
                 .got = fmt::format("{}", id)});
  }
  return static_cast<int32_t>(id);
}

SpecialTokens special_tokens(const GgufFile& file, size_t tokens, bool add_bos_by_default) {
  SpecialTokens special;
  special.begin_of_text = special_id(file, "tokenizer.ggml.bos_token_id", tokens);
  const int32_t end = special_id(file, "tokenizer.ggml.eos_token_id", tokens);
  const bool add_bos = file.bool_or("tokenizer.ggml.add_bos_token", add_bos_by_default);
  if (add_bos && special.begin_of_text >= 0) special.before.push_back(special.begin_of_text);
  if (file.bool_or("tokenizer.ggml.add_eos_token", false) && end >= 0) special.after.push_back(end);
  return special;
}

const std::vector<std::string>& tokens_of(const GgufFile& file) {
  const std::vector<std::string>& tokens = file.strings("tokenizer.ggml.tokens");
  if (tokens.empty() || tokens.size() > kMaxTokenId) {
    throw Error({.what = "bad number of tokens",
                 .where = where(file, "tokenizer.ggml.tokens"),
                 .expected = fmt::format("1 to {}", kMaxTokenId),
                 .got = fmt::format("{}", tokens.size())});
  }
  return tokens;
}

void read_bpe_tokens(const GgufFile& file, BpeParts* parts) {
  const std::vector<std::string>& tokens = tokens_of(file);
  const std::vector<TokenType> types = token_types(file, tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const bool special = types[i] == TokenType::kControl || types[i] == TokenType::kUnknown;
    const bool user_defined = types[i] == TokenType::kUserDefined && !is_padding(tokens[i], i);
    // A user-defined single character ("ü" in DeepSeek) is text, not the byte of that character.
    const bool one_character =
        static_cast<size_t>(first_character(tokens[i]).bytes) == tokens[i].size();
    const bool model_token = types[i] == TokenType::kNormal || types[i] == TokenType::kByte ||
                             (user_defined && !one_character);
    parts->vocabulary.push_back({tokens[i], id, model_token});
    if (special || user_defined) {
      parts->added.push_back({.id = id, .content = tokens[i], .special = special});
    }
  }
}

void read_bpe_merges(const GgufFile& file, BpeParts* parts) {
  for (const std::string& merge : file.strings("tokenizer.ggml.merges")) {
    const size_t blank = merge.find(' ', 1);
    if (blank == std::string::npos || blank + 1 == merge.size()) {
      throw Error({.what = "bad merge",
                   .where = where(file, "tokenizer.ggml.merges"),
                   .expected = "two tokens with a blank between them",
                   .got = fmt::format("'{}'", merge)});
    }
    parts->merges.emplace_back(merge.substr(0, blank), merge.substr(blank + 1));
  }
}

std::unique_ptr<Tokenizer> load_bpe(const GgufFile& file) {
  constexpr std::string_view kPre = "tokenizer.ggml.pre";
  if (!file.has(kPre)) {
    throw Error({.what = "the file does not name its pre-tokenizer",
                 .where = where(file, kPre),
                 .hint = "convert the model again with a current converter"});
  }
  NamedPreTokenizer named = named_pre_tokenizer(file.string(kPre), where(file, kPre));
  BpeParts parts;
  parts.where = where(file, "tokenizer.ggml.merges");
  read_bpe_tokens(file, &parts);
  read_bpe_merges(file, &parts);
  parts.options.ignore_merges = named.ignore_merges;
  if (named.nfc) {
    std::vector<Normalizer::Step> steps;
    steps.emplace_back(Normalizer::Nfc{});
    parts.normalizer = Normalizer(std::move(steps));
  }
  parts.pre_tokenizer = std::move(named.pre_tokenizer);
  parts.special = special_tokens(file, parts.vocabulary.size(), named.add_bos);
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

std::unique_ptr<Tokenizer> load_spm(const GgufFile& file) {
  constexpr std::string_view kScores = "tokenizer.ggml.scores";
  if (file.has("tokenizer.ggml.precompiled_charsmap")) {
    throw Error({.what = "unsupported normalisation table",
                 .where = where(file, "tokenizer.ggml.precompiled_charsmap"),
                 .hint = "use the model's sentencepiece tokenizer.model"});
  }
  const std::vector<std::string>& tokens = tokens_of(file);
  const std::vector<TokenType> types = token_types(file, tokens.size());
  const std::vector<double> scores = file.numbers(kScores);
  check_length(file, kScores, scores.size(), tokens.size());
  SpmParts parts;
  parts.where = file.path();
  for (size_t i = 0; i < tokens.size(); ++i) {
    const TokenType type = is_padding(tokens[i], i) ? TokenType::kUnused : types[i];
    parts.entries.push_back({tokens[i], scores[i], type});
  }
  parts.add_space_prefix = file.bool_or("tokenizer.ggml.add_space_prefix", true);
  parts.special = special_tokens(file, tokens.size(), true);
  return std::make_unique<SpmTokenizer>(std::move(parts));
}

}  // namespace

std::unique_ptr<Tokenizer> load_gguf_tokenizer(const std::string& path) {
  constexpr std::string_view kModel = "tokenizer.ggml.model";
  const GgufFile file(path);
  if (!file.has(kModel)) {
    throw Error({.what = "the file holds no vocabulary", .where = where(file, kModel)});
  }
  const std::string& model = file.string(kModel);
  if (model == "gpt2") return load_bpe(file);
  if (model == "llama") return load_spm(file);
  throw unknown_name("vocabulary kind", model, std::vector<std::string>{"gpt2", "llama"},
                     where(file, kModel));
}

}  // namespace skipbench
