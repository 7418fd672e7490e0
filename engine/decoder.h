// Decoding a batch under a skipping strategy: prefill, then one pass per token.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/beam_options.h"
#include "engine/model.h"
#include "strategies/strategy.h"

namespace skipbench {

using TokenIds = std::vector<int32_t>;

struct GenerateOptions {
  int max_new_tokens = 64;
  // Ids that end a row; the one that did is part of its tokens. Empty: the length is forced.
  std::vector<int32_t> end_of_text_ids;
  Sampling sampling;  // greedy unless it has a temperature
  BeamOptions beams;
  // Prompt i is text first_text + i: what tells the texts' draws and replayed exits apart, in
  // whatever batch they are.
  int32_t first_text = 0;
  // Called after each new token of a row with its tokens so far; true ends the row (stop strings).
  std::function<bool(size_t row, std::span<const int32_t> tokens)> stop;
  // Called after each pass with the number of tokens it made, for progress bars.
  std::function<void(int tokens)> on_tokens;
  // Test hook: runs between prefill and the first decoding step.
  std::function<void()> after_prefill;
  // Whether a device that can record steps does; false queues them operation by operation.
  bool record_steps = true;
};

// Layers that really ran, counted: entry 0 the prefill's, entry t + 1 those of decoding step t.
// As many entries as tokens. Half a layer is one sublayer.
using LayersPerToken = std::vector<double>;

struct GenerateOutput {
  TokenIds tokens;  // new ones only, the end-of-text id included
  LayersPerToken layers_per_token;
  // Under a strategy with a speculation: tokens drafted, those of them that the whole model made as
  // well, and its passes over them.
  int64_t drafted = 0;
  int64_t accepted = 0;
  int64_t verify_calls = 0;
};

// Time of one batch: wall time, and for steps that a device runs by itself the time between their
// ends on the device's clock. The first token of each row belongs to the prefill.
struct BatchTimings {
  double prefill_us = 0;
  double decode_us = 0;         // sum of step_us
  std::vector<double> step_us;  // one per decoding step
  double exit_test_us = 0;      // share of decode_us spent on exit tests (head and signal)
  int64_t exit_tests = 0;       // rows tested, summed over layers and steps
  int64_t prompt_tokens = 0;
  int64_t decode_tokens = 0;   // tokens made by decoding steps of unfinished rows
  int64_t kv_cache_bytes = 0;  // with the transient layer of the prefill
  // As GenerateOutput's, summed over rows; and drafting passes, each over all rows that want a
  // token.
  int64_t drafted = 0;
  int64_t accepted = 0;
  int64_t verify_calls = 0;
  int64_t draft_passes = 0;
};

// Whether a text ends with its latest token: by its length, an end-of-text id, or `stop`.
bool is_finished(const GenerateOptions& options, size_t row, std::span<const int32_t> tokens);

struct GenerateResult {
  std::vector<GenerateOutput> outputs;  // one per prompt, in order
  BatchTimings timings;
};

struct ScoreRequest {
  TokenIds prompt;
  TokenIds continuation;
  int32_t text = 0;  // its number, as GenerateOptions::first_text has it
};

struct ScoreOptions {
  bool log_probs = true;                // false: only the layers are wanted (calibration)
  std::function<void()> after_prefill;  // test hook, as in GenerateOptions
};

struct ScoreOutput {
  std::vector<double> log_probs;  // log p of each continuation token, nats; or empty
  LayersPerToken layers_per_token;
};

// Throws Error naming `where` unless there is at least one token and every id is in the vocabulary.
void check_tokens(std::span<const int32_t> tokens, const ModelConfig& config,
                  const std::string& where);

// Mean of the decoding steps' entries over all outputs (prefill entries left out); 0 without steps.
double realised_budget(std::span<const LayersPerToken> layers);

class DeviceSteps;

class Decoder {
 public:
  explicit Decoder(Model& model);
  ~Decoder();

  // Decodes all prompts as one batch, greedily, by draws (options.sampling) or by beam search
  // (generate_with_beams, and its errors). Throws Error for an empty prompt, an id outside the
  // vocabulary, max_new_tokens < 1, or a temperature or top_k out of range.
  GenerateResult generate(std::span<const TokenIds> prompts, const SkipStrategy& strategy,
                          const GenerateOptions& options);

  // Teacher-forced log-probabilities, all requests as one batch: the prompt through the strategy's
  // prefill layers, every later token through its step's layers. The same errors as generate.
  std::vector<ScoreOutput> score(std::span<const ScoreRequest> requests,
                                 const SkipStrategy& strategy, const ScoreOptions& options = {});

  Model& model() { return model_; }
  // Null where the device runs no steps by itself.
  const DeviceSteps* device_steps() const { return device_steps_.get(); }

 private:
  GenerateResult generate_batch(std::span<const TokenIds> prompts, const SkipStrategy& strategy,
                                const GenerateOptions& options);
  std::vector<ScoreOutput> score_batch(std::span<const ScoreRequest> requests,
                                       const SkipStrategy& strategy, const ScoreOptions& options);

  Model& model_;
  std::unique_ptr<DeviceSteps> device_steps_;
};

}  // namespace skipbench
