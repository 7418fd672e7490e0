#include "eval/sweep/inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "datasets/prompt_template.h"
#include "engine/base/error.h"
#include "engine/tokenizer/chat_template.h"
#include "engine/weights/sha256.h"
#include "eval/metrics/response_metrics.h"

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

// What a metric takes for the model's response to a prompt: `text` after `prefix`, no special
// tokens. `example` and `hint` are for the message.
TokenIds encode_response(const std::string& prefix, const std::string& text, const TokenIds& prompt,
                         const Tokenizer& tokenizer, const ModelConfig& model,
                         const std::string& example, const std::string& hint) {
  if (text.empty()) return {};
  const TextSegment segment{.text = prefix + text};
  TokenIds tokens = tokenizer.encode(std::span(&segment, 1), /*add_special=*/false);
  const int64_t positions = std::ssize(prompt) + std::ssize(tokens);
  if (model.max_positions > 0 && positions > model.max_positions) {
    throw Error({.what = "prompt and reference do not fit into the model's context",
                 .where = example,
                 .expected = fmt::format("at most {} positions", model.max_positions),
                 .got = fmt::format("{} + {} tokens", prompt.size(), tokens.size()),
                 .hint = hint});
  }
  return tokens;
}

// Errors about a file also name the place in the configuration that asked for it.
std::vector<Example> examples_of(const DataFiles& files, const std::vector<FilePlace>& places,
                                 const std::string& otherwise) {
  try {
    return load_examples(files);
  } catch (const Error& error) {
    ErrorParts parts = error.parts();
    std::string place = otherwise;
    size_t longest = 0;  // a file's path may begin with another's
    for (const FilePlace& one : places) {
      if (!parts.where.starts_with(one.path) || one.path.size() < longest) continue;
      place = one.where;
      longest = one.path.size();
    }
    parts.where = parts.where.empty() ? place : place + ": " + parts.where;
    throw Error(std::move(parts));
  }
}

// How many of the file's examples are evaluated.
size_t evaluated_count(const DatasetSection& dataset, size_t available) {
  if (dataset.limit == 0) return available;
  if (static_cast<size_t>(dataset.limit) <= available) return static_cast<size_t>(dataset.limit);
  throw Error({.what = "fewer examples than `limit`",
               .where = dataset.where + " (" + dataset.files.source_file() + ")",
               .expected = fmt::format("{} examples", dataset.limit),
               .got = fmt::format("{}", available),
               .hint = "lower `limit`, or 0 for all"});
}

void check_some_token(const std::vector<TokenIds>& responses, const DatasetSection& dataset) {
  const bool all_empty = std::all_of(responses.begin(), responses.end(),
                                     [](const TokenIds& tokens) { return tokens.empty(); });
  if (!all_empty) return;
  throw Error({.what = "all first references are empty: perplexity, kl and top1 have no token",
               .where = fmt::format("{}: dataset '{}'", dataset.where, dataset.name)});
}

}  // namespace

std::vector<std::string> response_prefixes(const DatasetSection& dataset) {
  std::vector<std::string> prefixes;
  for (const MetricSpec& spec : dataset.metrics) {
    if (find_response_metric(spec.name) == nullptr) continue;
    const std::string prefix = response_prefix(spec.options);
    if (std::find(prefixes.begin(), prefixes.end(), prefix) == prefixes.end()) {
      prefixes.push_back(prefix);
    }
  }
  return prefixes;
}

CalibrationTexts calibration_texts(const DatasetSection& dataset, const SweepInputs& inputs,
                                   const Tokenizer& tokenizer, const ModelConfig& model,
                                   size_t limit) {
  const std::vector<std::string> prefixes = response_prefixes(dataset);
  const std::string prefix = prefixes.empty() ? "" : prefixes.front();
  CalibrationTexts found;
  for (size_t i = 0; i < std::min(limit, inputs.calibration_prompts.size()); ++i) {
    const TokenIds& prompt = inputs.calibration_prompts[i];
    TokenIds tokens =
        encode_response(prefix, inputs.calibration_references[i].at(0), prompt, tokenizer, model,
                        fmt::format("{}: calibration prompt {} of dataset '{}'", dataset.where,
                                    i + 1, dataset.name),
                        "leave the example out, or lower --limit");
    if (tokens.empty()) continue;
    found.texts.push_back({prompt, std::move(tokens)});
    found.references.push_back(inputs.calibration_references[i]);
  }
  if (!found.texts.empty()) return found;
  throw Error({.what = "no calibration prompt with a reference",
               .where = fmt::format("{}: dataset '{}'", dataset.where, dataset.name),
               .expected = "at least one that is not evaluated and whose reference is not empty",
               .hint = "give the data set a `calibration` split or lower its `limit`"});
}

std::string hash_prompts(std::span<const TokenIds> prompts) {
  Sha256 hash;
  for (const TokenIds& prompt : prompts) add_tokens(hash, prompt);
  return hash.hex_digest();
}

SweepInputs load_inputs(const DatasetSection& dataset, const Tokenizer& tokenizer,
                        const std::string& model_path, const ModelConfig& model, int new_tokens) {
  std::vector<Example> examples = examples_of(dataset.files, dataset.places, dataset.where);
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
  for (const std::string& prefix : response_prefixes(dataset)) {
    auto& responses = inputs.responses[prefix];
    for (size_t i = 0; i < evaluated; ++i) {
      responses.push_back(encode_response(
          prefix, examples[i].references.at(0), inputs.prompts[i], tokenizer, model,
          fmt::format("{}: example {} of dataset '{}'", dataset.where, i + 1, dataset.name),
          "leave the example out, or the metrics perplexity, kl and top1"));
    }
    check_some_token(responses, dataset);
  }

  std::vector<Example> rest;
  if (dataset.calibration.files) {
    rest = examples_of(*dataset.calibration.files, dataset.calibration.places,
                       dataset.calibration.where);
  } else {
    rest.assign(examples.begin() + static_cast<int64_t>(evaluated), examples.end());
  }
  // A prompt that is evaluated never helps to choose a threshold, whatever file it came from.
  for (size_t i = 0; i < rest.size(); ++i) {
    if (std::ssize(inputs.calibration_prompts) == dataset.calibration.limit) break;
    TokenIds prompt = encode(rest[i], i);
    if (seen.contains(prompt)) continue;
    inputs.calibration_prompts.push_back(std::move(prompt));
    inputs.calibration_references.push_back(std::move(rest[i].references));
  }
  inputs.calibration_hash = hash_prompts(inputs.calibration_prompts);
  return inputs;
}

}  // namespace skipbench
