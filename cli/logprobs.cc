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
#include "cli/options.h"
#include "cli/output.h"
#include "cli/token_lines.h"
#include "engine/base/error.h"
#include "engine/decoder.h"
#include "engine/weights/load.h"

namespace skipbench {
namespace {

struct LogprobsOptions {
  EngineOptions engine;
  StrategyOptions strategy;
  std::string input;
  int64_t batch = 1;
};

ScoreRequest parse_request(const std::string& line, const std::string& where) {
  const nlohmann::json json = parse_json_line(line, where);
  for (const char* key : {"prompt", "continuation"}) {
    if (!json.is_object() || !json.contains(key)) {
      throw Error({.what = std::string("no '") + key + "'",
                   .where = where,
                   .expected = R"({"prompt": [ids], "continuation": [ids]})"});
    }
  }
  return {token_ids_from_json(json["prompt"], where + ", prompt"),
          token_ids_from_json(json["continuation"], where + ", continuation")};
}

// Everything is checked before the first line is printed.
std::vector<ScoreRequest> read_requests(const std::string& path, const ModelConfig& config) {
  std::vector<ScoreRequest> requests;
  const std::vector<std::string> lines = read_input_lines(path);
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string where = path + ":" + std::to_string(i + 1);
    requests.push_back(parse_request(lines[i], where));
    requests.back().text = static_cast<int32_t>(i);
    check_tokens(requests.back().prompt, config, where + ", prompt");
    const int64_t length = std::ssize(requests.back().continuation);
    if (length > 0) check_tokens(requests.back().continuation, config, where + ", continuation");
    check_positions(std::ssize(requests.back().prompt) + std::max<int64_t>(0, length - 1), config,
                    where);
  }
  return requests;
}

// An empty continuation has no token, so nothing is run for it.
std::vector<ScoreOutput> score(Decoder& decoder, std::span<const ScoreRequest> requests,
                               const SkipStrategy& strategy) {
  std::vector<ScoreRequest> with_tokens;
  for (const ScoreRequest& request : requests) {
    if (!request.continuation.empty()) with_tokens.push_back(request);
  }
  std::vector<ScoreOutput> found;
  if (!with_tokens.empty()) found = decoder.score(with_tokens, strategy);
  std::vector<ScoreOutput> outputs(requests.size());
  size_t next = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (!requests[i].continuation.empty()) outputs[i] = std::move(found[next++]);
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

void logprobs(const LogprobsOptions& options) {
  const LoadedModel loaded = load_model(options.engine.model_name(), options.engine.adapter);
  const std::vector<ScoreRequest> requests = read_requests(options.input, loaded.config);
  const auto strategy = options.strategy.make(loaded.config.num_layers);
  const auto backend = make_backend(options.engine.device_spec());
  Model model(loaded, *backend);
  Decoder decoder(model);
  for (size_t begin = 0; begin < requests.size(); begin += static_cast<size_t>(options.batch)) {
    const size_t count = std::min(static_cast<size_t>(options.batch), requests.size() - begin);
    const auto outputs = score(decoder, std::span(requests).subspan(begin, count), *strategy);
    for (size_t i = 0; i < outputs.size(); ++i) {
      const ScoreOutput& output = outputs[i];
      warn_if_not_finite(output.log_probs, fmt::format("{}:{}", options.input, begin + i + 1));
      nlohmann::ordered_json json;
      json["logprobs"] = output.log_probs;
      json["layers_per_token"] = layers_to_json(output.layers_per_token);
      std::cout << json.dump() << '\n';
    }
    flush_output();
  }
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
                   R"(file of lines {"prompt": [ids], "continuation": [ids]}; - is stdin)")
      ->required();
  command->add_option("--batch", options->batch, "lines per batch")
      ->check(whole_number(1, 1 << 16))
      ->capture_default_str();
  command->footer(
      "Example:\n  echo '{\"prompt\":[1,2],\"continuation\":[3,4]}' | skipbench logprobs \\\n"
      "    --model models/smollm2-135m --input - --strategy unified --target 2");
  command->callback([options] { logprobs(*options); });
}

}  // namespace skipbench
