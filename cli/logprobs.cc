// skipbench logprobs: teacher-forced log-probabilities, the instrument for parity with other
// engines.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/input_lines.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/text_encoder.h"
#include "cli/token_lines.h"
#include "engine/base/error.h"
#include "engine/decoder.h"
#include "engine/weights/load.h"

namespace skipbench {
namespace {

struct LogprobsOptions {
  EngineOptions engine;
  StrategyOptions strategy;
  TextOptions texts;
  std::string input;
  int64_t batch = 1;
};

// A line and what is printed of it beside its scores.
struct LineToScore {
  ScoreRequest request;
  bool has_text = false;  // a reader then cannot know the token ids
};

LineToScore parse_to_score(const std::string& line, TextEncoder& encoder,
                           const std::string& where) {
  const nlohmann::json json = parse_json_line(line, where);
  for (const char* key : {"prompt", "continuation"}) {
    if (!json.is_object() || !json.contains(key)) {
      throw Error(
          {.what = std::string("no '") + key + "'",
           .where = where,
           .expected = R"({"prompt": ..., "continuation": ...}, each a text or token ids)"});
    }
  }
  const nlohmann::json &prompt = json["prompt"], &continuation = json["continuation"];
  LineToScore parsed;
  parsed.request.prompt = encoder.tokens_of(prompt, where + ", prompt");
  parsed.request.continuation =
      encoder.tokens_of(continuation, where + ", continuation", /*is_start=*/false);
  parsed.has_text = prompt.is_string() || continuation.is_string();
  return parsed;
}

void check_to_score(const ScoreRequest& request, const ModelConfig& config,
                    const std::string& where) {
  check_tokens(request.prompt, config, where + ", prompt");
  const int64_t length = std::ssize(request.continuation);
  if (length > 0) check_tokens(request.continuation, config, where + ", continuation");
  check_positions(std::ssize(request.prompt) + std::max<int64_t>(0, length - 1), config, where);
}

// An empty continuation has no token, so nothing is run for it.
std::vector<ScoreOutput> score(Decoder& decoder, std::span<const LineToScore> lines,
                               const SkipStrategy& strategy) {
  std::vector<ScoreRequest> with_tokens;
  for (const LineToScore& line : lines) {
    if (!line.request.continuation.empty()) with_tokens.push_back(line.request);
  }
  std::vector<ScoreOutput> found;
  if (!with_tokens.empty()) found = decoder.score(with_tokens, strategy);
  std::vector<ScoreOutput> outputs(lines.size());
  size_t next = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].request.continuation.empty()) outputs[i] = std::move(found[next++]);
  }
  return outputs;
}

// JSON has no NaN and no infinity: they are printed as null, so stderr says it.
void warn_if_not_finite(const std::vector<double>& log_probs, const std::string& where) {
  const auto bad = std::find_if_not(log_probs.begin(), log_probs.end(),
                                    [](double value) { return std::isfinite(value); });
  if (bad == log_probs.end()) return;
  std::cerr << fmt::format(
      "skipbench: warning: {}: the log-probability of token {} of the continuation is {}, printed "
      "as null; a wider --dtype may help\n",
      where, bad - log_probs.begin(), *bad);
}

void print_scores(const LineToScore& line, const ScoreOutput& output) {
  nlohmann::ordered_json json;
  if (line.has_text) {
    json["prompt_tokens"] = line.request.prompt.size();
    json["tokens"] = line.request.continuation;
  }
  json["logprobs"] = output.log_probs;
  json["layers_per_token"] = layers_to_json(output.layers_per_token);
  std::cout << json.dump() << '\n';
}

void logprobs(const LogprobsOptions& options) {
  const LoadedModel loaded = load_model(options.engine.model_name(), options.engine.adapter);
  const auto strategy = options.strategy.make(loaded.config.num_layers);
  const auto backend = make_backend(options.engine.device_spec());
  Model model(loaded, *backend);
  Decoder decoder(model);
  TextEncoder encoder(options.texts, options.engine.model);
  const auto where = [&](size_t index) { return fmt::format("{}:{}", options.input, index + 1); };
  const auto parse = [&](const std::string& line, size_t index) {
    LineToScore parsed = parse_to_score(line, encoder, where(index));
    parsed.request.text = static_cast<int32_t>(index);
    check_to_score(parsed.request, loaded.config, where(index));
    return parsed;
  };
  const auto work = [&](std::span<const LineToScore> lines, size_t first) {
    const auto outputs = score(decoder, lines, *strategy);
    for (size_t i = 0; i < outputs.size(); ++i) {
      warn_if_not_finite(outputs[i].log_probs, where(first + i));
      print_scores(lines[i], outputs[i]);
    }
    flush_output();
  };
  work_in_batches<LineToScore>(options.input, static_cast<size_t>(options.batch), parse, work);
}

}  // namespace

void add_logprobs(CLI::App& app) {
  const auto options = std::make_shared<LogprobsOptions>();
  CLI::App* command = app.add_subcommand(
      "logprobs",
      "Teacher-forced log-probabilities under a strategy, one JSON line per input line");
  options->engine.add_to(*command);
  options->strategy.add_to(*command);
  command
      ->add_option("--input", options->input,
                   R"(file of lines {"prompt": ..., "continuation": ...}, each a text or a list )"
                   "of token ids; - is stdin, of which a batch is scored as soon as it is there")
      ->required();
  options->texts.add_to(*command);
  command->add_option("--batch", options->batch, "lines per batch")
      ->check(whole_number(1, 1 << 16))
      ->capture_default_str();
  command->footer(
      "Examples:\n  echo '{\"prompt\":[1,2],\"continuation\":[3,4]}' | skipbench logprobs \\\n"
      "    --model models/smollm2-135m --input - --strategy unified --target 2\n"
      "  echo '{\"prompt\":\"Guten Tag!<en>\",\"continuation\":\"Hello!\"}' | skipbench logprobs "
      "\\\n"
      "    --model models/miniature --parse-special --input -\n"
      "Prompt and continuation are tokenised each for itself, so a blank between them belongs to "
      "one "
      "of them.\nA line with texts is printed with prompt_tokens and the continuation's tokens.");
  command->callback([options] { logprobs(*options); });
}

}  // namespace skipbench
