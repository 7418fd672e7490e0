#include "eval/sweep/inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "datasets/prompt_template.h"
#include "engine/base/error.h"
#include "engine/tokenizer/chat_template.h"
#include "engine/weights/sha256.h"

namespace skipbench {
namespace {

// Lengths keep neighbours apart: {"ab", "c"} and {"a", "bc"} differ.
void add_text(Sha256& hash, std::string_view text) {
  hash.update(fmt::format("{}:", text.size()));
  hash.update(text);
}

void add_tokens(Sha256& hash, const TokenIds& tokens) {
  hash.update(fmt::format("{}:", tokens.size()));
  hash.update(std::as_bytes(std::span(tokens)));
}

class PromptEncoder {
 public:
  PromptEncoder(const DatasetSection& dataset, const Tokenizer& tokenizer,
                const std::string& model_path, const ModelConfig& model, int new_tokens)
      : dataset_(dataset),
        tokenizer_(tokenizer),
        model_(model),
        new_tokens_(new_tokens),
        prompt_(dataset.prompt, dataset.prompt_where) {
    if (dataset.chat_template.empty()) return;
    try {
      chat_ = ChatTemplate::make(dataset.chat_template, model_path);
    } catch (const Error& error) {
      ErrorParts parts = error.parts();
      parts.where = dataset.chat_template_where + (parts.where.empty() ? "" : ": " + parts.where);
      throw Error(std::move(parts));
    }
  }

  TokenIds operator()(Example& example, size_t line) const {
    example.fields.emplace("instruction", dataset_.instruction);
    example.fields.emplace("input", example.fields.at("source"));
    std::vector<TextSegment> segments = prompt_.fill(example.fields);
    if (chat_) segments = chat_->render(system_message(), segments);
    const TokenIds tokens = tokenizer_.encode(segments, dataset_.add_special);
    const std::string where =
        fmt::format("{}: prompt {} of dataset '{}'", dataset_.where, line + 1, dataset_.name);
    check_tokens(tokens, model_, where);
    const int64_t positions = std::ssize(tokens) + new_tokens_;
    if (model_.max_positions > 0 && positions > model_.max_positions) {
      throw Error({.what = "prompt and output do not fit into the model's context",
                   .where = where,
                   .expected = fmt::format("at most {} positions", model_.max_positions),
                   .got = fmt::format("{} + {} new tokens", tokens.size(), new_tokens_),
                   .hint = "leave the example out or lower decoding.max_new_tokens"});
    }
    return tokens;
  }

 private:
  std::optional<std::string_view> system_message() const {
    if (dataset_.system.empty()) return std::nullopt;
    return dataset_.system;
  }

  const DatasetSection& dataset_;
  const Tokenizer& tokenizer_;
  const ModelConfig& model_;
  int new_tokens_;
  PromptTemplate prompt_;
  std::optional<ChatTemplate> chat_;
};

// How many of the file's examples are evaluated.
size_t evaluated_count(const DatasetSection& dataset, size_t available) {
  if (dataset.limit == 0) return available;
  if (static_cast<size_t>(dataset.limit) <= available) return static_cast<size_t>(dataset.limit);
  throw Error({.what = "fewer examples than `limit`",
               .where = dataset.where + " (" +
                        (dataset.files.jsonl.empty() ? dataset.files.source : dataset.files.jsonl) +
                        ")",
               .expected = fmt::format("{} examples", dataset.limit),
               .got = fmt::format("{}", available),
               .hint = "lower `limit`, or 0 for all"});
}

}  // namespace

std::string hash_prompts(std::span<const TokenIds> prompts) {
  Sha256 hash;
  for (const TokenIds& prompt : prompts) add_tokens(hash, prompt);
  return hash.hex_digest();
}

SweepInputs load_inputs(const DatasetSection& dataset, const Tokenizer& tokenizer,
                        const std::string& model_path, const ModelConfig& model, int new_tokens) {
  std::vector<Example> examples = load_examples(dataset.files);
  const size_t evaluated = evaluated_count(dataset, examples.size());
  const PromptEncoder encode(dataset, tokenizer, model_path, model, new_tokens);
  SweepInputs inputs;
  Sha256 hash;
  std::set<TokenIds> seen;
  for (size_t i = 0; i < evaluated; ++i) {
    inputs.prompts.push_back(encode(examples[i], i));
    inputs.references.push_back(examples[i].references);
    add_tokens(hash, inputs.prompts.back());
    for (const std::string& reference : examples[i].references) add_text(hash, reference);
    seen.insert(inputs.prompts.back());
  }
  inputs.hash = hash.hex_digest();

  std::vector<Example> rest;
  if (dataset.calibration.files) {
    rest = load_examples(*dataset.calibration.files);
  } else {
    rest.assign(examples.begin() + static_cast<int64_t>(evaluated), examples.end());
  }
  // A prompt that is evaluated never helps to choose a threshold, whatever file it came from.
  for (size_t i = 0; i < rest.size(); ++i) {
    if (std::ssize(inputs.calibration_prompts) == dataset.calibration.limit) break;
    TokenIds prompt = encode(rest[i], i);
    if (!seen.contains(prompt)) inputs.calibration_prompts.push_back(std::move(prompt));
  }
  inputs.calibration_hash = hash_prompts(inputs.calibration_prompts);
  return inputs;
}

}  // namespace skipbench
