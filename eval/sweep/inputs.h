// What a sweep decodes: a dataset's prompts as token ids, its references, its calibration prompts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/decoder.h"
#include "engine/tokenizer/tokenizer.h"
#include "eval/sweep/config.h"

namespace skipbench {

struct SweepInputs {
  std::vector<TokenIds> prompts;                                 // evaluated
  std::vector<std::vector<std::string>> references;              // of each prompt
  std::vector<TokenIds> calibration_prompts;                     // none of them evaluated
  std::vector<std::vector<std::string>> calibration_references;  // of each of these prompts
  // Where metrics of responses ask for them, by their prefix: each prompt's first reference.
  std::map<std::string, std::vector<TokenIds>> responses;
  // SHA-256 of token ids and references: whatever changes a prompt (data, template, tokenizer)
  // changes it.
  std::string hash;
  std::string calibration_hash;
};

// `model_path`: where the chat template "model" comes from. Throws Error for data that is missing
// or does not fit together, a template that names an unknown field, an empty prompt, and prompts
// that leave no room for new tokens or, where a metric reads it, for the reference.
SweepInputs load_inputs(const DatasetSection& dataset, const Tokenizer& tokenizer,
                        const std::string& model_path, const ModelConfig& model, int new_tokens);

struct CalibrationTexts {
  std::vector<ScoreRequest> texts;                   // prompt and first reference
  std::vector<std::vector<std::string>> references;  // of each text
};

// The first `limit` calibration prompts, each with its first reference as metrics of responses read
// it: after their prefix (of several the first metric's), no end of text. Examples whose first
// reference is empty are left out. Throws Error where none is left, or a reference does not fit
// into the context.
CalibrationTexts calibration_texts(const DatasetSection& dataset, const SweepInputs& inputs,
                                   const Tokenizer& tokenizer, const ModelConfig& model,
                                   size_t limit);

// Prefixes of the data set's metrics of responses, each once.
std::vector<std::string> response_prefixes(const DatasetSection& dataset);

// SHA-256 over the first `count` prompts.
std::string hash_prompts(std::span<const TokenIds> prompts);

}  // namespace skipbench
