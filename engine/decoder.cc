#include "engine/decoder.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "engine/base/error.h"
#include "engine/batch_pass.h"

namespace skipbench {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

int64_t longest(std::span<const TokenIds> prompts) {
  size_t longest = 0;
  for (const TokenIds& prompt : prompts) longest = std::max(longest, prompt.size());
  return static_cast<int64_t>(longest);
}

// The rows of a batch that still grow, and what each has made so far.
class GreedyRows {
 public:
  GreedyRows(size_t count, const GenerateOptions& options) : options_(options), outputs_(count) {
    for (size_t i = 0; i < count; ++i) running_.push_back(static_cast<int32_t>(i));
    for (GenerateOutput& output : outputs_) {
      output.tokens.reserve(static_cast<size_t>(options.max_new_tokens));
      output.layers_per_token.reserve(static_cast<size_t>(options.max_new_tokens));
    }
  }

  // Appends each running row's next token and drops the rows that are finished.
  void append(std::span<const BatchPass::Row> rows) {
    const size_t count = running_.size();
    next_running_.clear();
    last_tokens_.clear();
    for (size_t i = 0; i < count; ++i) {
      const int32_t sequence = running_[i];
      GenerateOutput& output = outputs_[static_cast<size_t>(sequence)];
      const int32_t token = rows[i].next.token;
      output.tokens.push_back(token);
      output.layers_per_token.push_back(rows[i].layers);
      if (finished(static_cast<size_t>(sequence), output.tokens)) continue;
      next_running_.push_back(sequence);
      last_tokens_.push_back(token);
    }
    std::swap(running_, next_running_);
    if (options_.on_tokens) options_.on_tokens(static_cast<int>(count));
  }

  BatchPass::StepInput input() const { return {running_, last_tokens_, {}}; }
  bool empty() const { return running_.empty(); }
  std::vector<GenerateOutput> take() { return std::move(outputs_); }

 private:
  bool finished(size_t sequence, const TokenIds& tokens) const {
    const auto& ends = options_.end_of_text_ids;
    return std::ssize(tokens) >= options_.max_new_tokens ||
           std::find(ends.begin(), ends.end(), tokens.back()) != ends.end() ||
           (options_.stop && options_.stop(sequence, tokens));
  }

  const GenerateOptions& options_;
  std::vector<GenerateOutput> outputs_;
  std::vector<int32_t> running_, next_running_, last_tokens_;
};

}  // namespace

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
  if (options.max_new_tokens < 1) {
    throw Error({.what = "no new tokens asked for",
                 .where = "max_new_tokens",
                 .expected = "at least 1",
                 .got = std::to_string(options.max_new_tokens)});
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    check_tokens(prompts[i], model_.config(), "prompt " + std::to_string(i));
  }
  GenerateResult result;
  if (prompts.empty()) return result;

  // The last new token is never fed back.
  BatchPass pass(model_, strategy, prompts, longest(prompts) + options.max_new_tokens - 1);
  GreedyRows rows(prompts.size(), options);
  BatchTimings& timings = result.timings;
  timings.step_us.reserve(static_cast<size_t>(options.max_new_tokens));
  for (const TokenIds& prompt : prompts) timings.prompt_tokens += std::ssize(prompt);

  Clock::time_point begin = Clock::now();
  const std::span<const BatchPass::Row> first = pass.prefill({});
  timings.prefill_us = microseconds_since(begin);
  rows.append(first);
  if (options.after_prefill) options.after_prefill();

  for (int step = 0; !rows.empty(); ++step) {
    const BatchPass::StepInput input = rows.input();
    begin = Clock::now();
    const std::span<const BatchPass::Row> next = pass.step(step, input);
    timings.step_us.push_back(microseconds_since(begin));
    timings.decode_us += timings.step_us.back();
    timings.decode_tokens += std::ssize(next);
    rows.append(next);
  }
  timings.exit_test_us = pass.exit_test_us();
  timings.exit_tests = pass.exit_tests();
  timings.kv_cache_bytes = pass.kv_cache_bytes();
  result.outputs = rows.take();
  return result;
}

std::vector<ScoreOutput> Decoder::score(std::span<const ScoreRequest> requests,
                                        const SkipStrategy& strategy, const ScoreOptions& options) {
  std::vector<TokenIds> prompts;
  size_t longest_continuation = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const ScoreRequest& request = requests[i];
    check_tokens(request.prompt, model_.config(), "prompt " + std::to_string(i));
    check_tokens(request.continuation, model_.config(), "continuation " + std::to_string(i));
    prompts.push_back(request.prompt);
    longest_continuation = std::max(longest_continuation, request.continuation.size());
  }
  std::vector<ScoreOutput> outputs(requests.size());
  if (requests.empty()) return outputs;

  BatchPass pass(model_, strategy, prompts,
                 longest(prompts) + static_cast<int64_t>(longest_continuation) - 1);
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
