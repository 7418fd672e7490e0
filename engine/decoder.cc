#include "engine/decoder.h"

#include <algorithm>
#include <optional>
#include <string>

#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/batch_pass.h"
#include "engine/beam_search.h"
#include "engine/device_steps.h"
#include "engine/speculative.h"

namespace skipbench {
namespace {

int64_t longest(std::span<const TokenIds> prompts) {
  size_t longest = 0;
  for (const TokenIds& prompt : prompts) longest = std::max(longest, prompt.size());
  return static_cast<int64_t>(longest);
}

// The rows of a batch that still grow, and what each has made so far.
class GrowingRows {
 public:
  GrowingRows(size_t count, const GenerateOptions& options) : options_(options), outputs_(count) {
    for (size_t i = 0; i < count; ++i) running_.push_back(static_cast<int32_t>(i));
    for (GenerateOutput& output : outputs_) {
      output.tokens.reserve(static_cast<size_t>(options.max_new_tokens));
      output.layers_per_token.reserve(static_cast<size_t>(options.max_new_tokens));
    }
  }

  // Appends each running row's next token and drops the rows that are finished.
  void append(std::span<const BatchPass::Row> rows) {
    append([&](size_t i, int32_t) { return Made{rows[i].next.token, rows[i].layers}; });
  }

  // The same for a step of the rows `batch`, of which some may be finished.
  // `layers`: run for every row, or nothing where the results say it. Returns how many exit tests
  // the running rows had.
  int64_t append(std::span<const int32_t> batch, std::span<const StepResult> results,
                 std::optional<double> layers) {
    size_t place = 0;
    int64_t tests = 0;
    append([&](size_t, int32_t sequence) {
      while (batch[place] != sequence) ++place;
      const StepResult& result = results[place];
      tests += result.exit_tests;
      return Made{result.next.token, layers ? *layers : result.sublayers / 2.0};
    });
    return tests;
  }

  std::span<const int32_t> running() const { return running_; }
  // Of the running rows.
  std::span<const int32_t> last_tokens() const { return last_tokens_; }
  bool empty() const { return running_.empty(); }
  std::vector<GenerateOutput> take() { return std::move(outputs_); }

 private:
  struct Made {
    int32_t token = 0;
    double layers = 0;
  };

  template <typename MadeBy>
  void append(const MadeBy& made_by) {
    const size_t count = running_.size();
    next_running_.clear();
    last_tokens_.clear();
    for (size_t i = 0; i < count; ++i) {
      const int32_t sequence = running_[i];
      GenerateOutput& output = outputs_[static_cast<size_t>(sequence)];
      const Made made = made_by(i, sequence);
      output.tokens.push_back(made.token);
      output.layers_per_token.push_back(made.layers);
      if (is_finished(options_, static_cast<size_t>(sequence), output.tokens)) continue;
      next_running_.push_back(sequence);
      last_tokens_.push_back(made.token);
    }
    std::swap(running_, next_running_);
    if (options_.on_tokens) options_.on_tokens(static_cast<int>(count));
  }

  const GenerateOptions& options_;
  std::vector<GenerateOutput> outputs_;
  std::vector<int32_t> running_, next_running_, last_tokens_;
};

void add_step(BatchTimings& timings, double microseconds, size_t tokens) {
  timings.step_us.push_back(microseconds);
  timings.decode_us += microseconds;
  timings.decode_tokens += static_cast<int64_t>(tokens);
}

// The host hands every step its tokens.
void decode_by_host(BatchPass& pass, GrowingRows& rows, BatchTimings& timings) {
  for (int step = 0; !rows.empty(); ++step) {
    const size_t count = rows.running().size();
    const Clock::time_point begin = Clock::now();
    const auto next = pass.step(step, {rows.running(), rows.last_tokens(), {}});
    add_step(timings, microseconds_since(begin), count);
    rows.append(next);
  }
}

// The device feeds itself, and the host learns of a step's tokens after it has queued the next one.
// Rows that have finished meanwhile leave once the queue is empty: the batch shrinks.
void decode_by_device(DeviceSteps& steps, const BatchPass& pass, const SkipStrategy& strategy,
                      const GenerateOptions& options, GrowingRows& rows, BatchTimings& timings) {
  const int num_layers = pass.cache().shape().cached.num_layers();
  const int most = options.max_new_tokens - 1;
  std::vector<int32_t> batch, positions, texts;
  int queued = 0;
  steps.set_recording(options.record_steps);
  steps.start_clock();
  for (int step = 0; !rows.empty(); ++step) {
    if (steps.queued() == 0 && batch.size() != rows.running().size()) {
      batch.assign(rows.running().begin(), rows.running().end());
      positions.clear();
      for (int32_t sequence : batch) positions.push_back(pass.lengths()[sequence] + step);
      texts.clear();
      for (int32_t sequence : batch) texts.push_back(options.first_text + sequence);
      steps.start(pass.cache(), options, strategy.rule(),
                  {batch, rows.last_tokens(), positions, texts, step});
    }
    const bool whole = batch.size() == rows.running().size();
    while (whole && queued < most && steps.queued() < DeviceSteps::kAhead) {
      steps.queue(strategy.step_layers(num_layers, queued++));
    }
    const DeviceSteps::Taken taken = steps.take();
    add_step(timings, taken.microseconds, rows.running().size());
    std::optional<double> layers;
    if (strategy.rule() == nullptr) layers = taken.layers;
    timings.exit_test_us += static_cast<double>(taken.rows[0].exit_test_us);
    timings.exit_tests += rows.append(batch, taken.rows, layers);
  }
  steps.drain();
}

// Memory that is kept for later batches must not be why this one does not fit.
template <typename Run>
auto with_idle_memory(Model& model, const Run& run) {
  try {
    return run();
  } catch (const OutOfMemory&) {
    if (!model.release_idle_memory()) throw;
  }
  return run();
}

}  // namespace

Decoder::Decoder(Model& model) : model_(model) {
  if (model.backend().is_asynchronous()) device_steps_ = std::make_unique<DeviceSteps>(model);
}

Decoder::~Decoder() = default;

bool is_finished(const GenerateOptions& options, size_t row, std::span<const int32_t> tokens) {
  const auto& ends = options.end_of_text_ids;
  return std::ssize(tokens) >= options.max_new_tokens ||
         std::find(ends.begin(), ends.end(), tokens.back()) != ends.end() ||
         (options.stop && options.stop(row, tokens));
}

void check_tokens(std::span<const int32_t> tokens, const ModelConfig& config,
                  const std::string& where) {
  if (tokens.empty()) {
    throw Error({.what = "no tokens",
                 .where = where,
                 .expected = "at least one token",
                 .hint = "add some text, or a beginning-of-text token with --add-special"});
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < config.vocab_size) continue;
    throw Error({.what = "token id outside the vocabulary",
                 .where = where + ", token " + std::to_string(i),
                 .expected = "an id in [0, " + std::to_string(config.vocab_size - 1) + "]",
                 .got = std::to_string(tokens[i])});
  }
}

double realised_budget(std::span<const LayersPerToken> layers) {
  double sum = 0;
  int64_t steps = 0;
  for (const LayersPerToken& row : layers) {
    for (size_t i = 1; i < row.size(); ++i) sum += row[i];
    steps += row.empty() ? 0 : std::ssize(row) - 1;
  }
  return steps == 0 ? 0.0 : sum / static_cast<double>(steps);
}

GenerateResult Decoder::generate(std::span<const TokenIds> prompts, const SkipStrategy& strategy,
                                 const GenerateOptions& options) {
  return with_idle_memory(model_, [&] { return generate_batch(prompts, strategy, options); });
}

GenerateResult Decoder::generate_batch(std::span<const TokenIds> prompts,
                                       const SkipStrategy& strategy,
                                       const GenerateOptions& options) {
  if (options.max_new_tokens < 1) {
    throw Error({.what = "no new tokens asked for",
                 .where = "max_new_tokens",
                 .expected = "at least 1",
                 .got = std::to_string(options.max_new_tokens)});
  }
  check_sampling(options.sampling, "sampling");
  check_beams(options.beams, "beams");
  for (size_t i = 0; i < prompts.size(); ++i) {
    check_tokens(prompts[i], model_.config(), "prompt " + std::to_string(i));
  }
  GenerateResult result;
  if (prompts.empty()) return result;

  if (options.beams.beams > 1) return generate_with_beams(model_, prompts, strategy, options);
  if (strategy.speculation() != nullptr) {
    return generate_speculatively(model_, prompts, strategy, options);
  }
  // The last new token is never fed back.
  BatchPass pass(model_, strategy, prompts, longest(prompts) + options.max_new_tokens - 1);
  pass.draw(options);
  GrowingRows rows(prompts.size(), options);
  BatchTimings& timings = result.timings;
  timings.step_us.reserve(static_cast<size_t>(options.max_new_tokens));
  for (const TokenIds& prompt : prompts) timings.prompt_tokens += std::ssize(prompt);

  const Clock::time_point begin = Clock::now();
  const std::span<const BatchPass::Row> first = pass.prefill({});
  timings.prefill_us = microseconds_since(begin);
  rows.append(first);
  if (options.after_prefill) options.after_prefill();

  // Without recordings a device has no predicates: the host decides exits.
  if (device_steps_ != nullptr && DeviceSteps::takes(strategy, model_.config().num_layers) &&
      (strategy.rule() == nullptr || options.record_steps)) {
    decode_by_device(*device_steps_, pass, strategy, options, rows, timings);
  } else {
    decode_by_host(pass, rows, timings);
    timings.exit_test_us = pass.exit_test_us();
    timings.exit_tests = pass.exit_tests();
  }
  timings.kv_cache_bytes = pass.cache().bytes();
  result.outputs = rows.take();
  return result;
}

std::vector<ScoreOutput> Decoder::score(std::span<const ScoreRequest> requests,
                                        const SkipStrategy& strategy, const ScoreOptions& options) {
  return with_idle_memory(model_, [&] { return score_batch(requests, strategy, options); });
}

std::vector<ScoreOutput> Decoder::score_batch(std::span<const ScoreRequest> requests,
                                              const SkipStrategy& strategy,
                                              const ScoreOptions& options) {
  std::vector<TokenIds> prompts;
  std::vector<int32_t> texts;
  size_t longest_continuation = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const ScoreRequest& request = requests[i];
    check_tokens(request.prompt, model_.config(), "prompt " + std::to_string(i));
    check_tokens(request.continuation, model_.config(), "continuation " + std::to_string(i));
    prompts.push_back(request.prompt);
    texts.push_back(request.text);
    longest_continuation = std::max(longest_continuation, request.continuation.size());
  }
  std::vector<ScoreOutput> outputs(requests.size());
  if (requests.empty()) return outputs;

  BatchPass pass(model_, strategy, prompts,
                 longest(prompts) + static_cast<int64_t>(longest_continuation) - 1);
  pass.number_texts(texts);
  // Sequences whose next token the pass predicts, and those tokens.
  std::vector<int32_t> sequences, tokens, targets;
  const auto append = [&](std::span<const BatchPass::Row> rows) {
    for (size_t i = 0; i < sequences.size(); ++i) {
      ScoreOutput& output = outputs[static_cast<size_t>(sequences[i])];
      if (options.log_probs) output.log_probs.push_back(rows[i].log_prob);
      output.layers_per_token.push_back(rows[i].layers);
    }
  };
  const auto wanted = [&] {
    return std::span<const int32_t>(targets).first(options.log_probs ? targets.size() : 0);
  };

  for (size_t i = 0; i < requests.size(); ++i) {
    sequences.push_back(static_cast<int32_t>(i));
    targets.push_back(requests[i].continuation.front());
  }
  append(pass.prefill(wanted()));
  if (options.after_prefill) options.after_prefill();

  for (size_t step = 0; step + 1 < longest_continuation; ++step) {
    sequences.clear();
    tokens.clear();
    targets.clear();
    for (size_t i = 0; i < requests.size(); ++i) {
      const TokenIds& continuation = requests[i].continuation;
      if (step + 1 >= continuation.size()) continue;
      sequences.push_back(static_cast<int32_t>(i));
      tokens.push_back(continuation[step]);
      targets.push_back(continuation[step + 1]);
    }
    append(pass.step(static_cast<int>(step), {sequences, tokens, wanted()}));
  }
  return outputs;
}

}  // namespace skipbench
