// What `skipbench probe` reads: a model and texts, from options or from a sweep's configuration.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/options.h"
#include "cli/text_encoder.h"
#include "engine/decoder.h"
#include "eval/sweep/setup.h"

namespace skipbench {

struct ProbeTextOptions {
  EngineOptions engine;
  std::string config;  // of a sweep: its model and the calibration split of a dataset
  std::vector<std::string> overrides;
  std::string dataset;  // empty: the configuration's first
  std::string input;    // text or .jsonl
  TextOptions texts;
  int64_t prompt_tokens = 1;
  int64_t limit = 128;
  int64_t batch = 8;
  // What a configuration says itself, with its key where there is one; and what needs one.
  std::vector<std::pair<const CLI::Option*, std::string>> without_config;
  std::vector<const CLI::Option*> with_config;

  void add_to(CLI::App& command);
};

struct ProbeInput {
  std::optional<SweepSetup> setup;  // with a configuration
  std::optional<LoadedModel> own;   // without
  const LoadedModel* loaded = nullptr;
  std::unique_ptr<Backend> own_backend;
  Backend* backend = nullptr;
};

struct ProbeTexts {
  std::vector<ScoreRequest> requests;
  int max_new_tokens = 0;  // of the configuration; without one of the longest continuation

  int64_t num_tokens() const;
  int64_t num_predicted() const;
  std::string hash() const;  // SHA-256 of the token ids
};

// Throws Error for options that do not fit together and what cannot be opened.
ProbeInput open_probe_input(const ProbeTextOptions& options);

// From a configuration: its calibration prompts with the tokens that the whole model makes of them.
// From a file: a text per line, or per JSON line {"text"} or {"prompt", "continuation"}, each a
// text or token ids; of a text alone the first `prompt_tokens` tokens are the prompt. Texts of
// fewer than two tokens are left out. Throws Error naming the line.
ProbeTexts read_probe_texts(const ProbeTextOptions& options, const ProbeInput& input, Model& model);

}  // namespace skipbench
