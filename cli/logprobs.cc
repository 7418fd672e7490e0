// skipbench logprobs: teacher-forced log-probabilities, the instrument for parity with other
// engines.
#include <CLI/CLI.hpp>
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
    check_tokens(requests.back().prompt, config, where + ", prompt");
    check_tokens(requests.back().continuation, config, where + ", continuation");
    check_positions(
        std::ssize(requests.back().prompt) + std::ssize(requests.back().continuation) - 1, config,
        where);
  }
  return requests;
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
    for (const ScoreOutput& output :
         decoder.score(std::span(requests).subspan(begin, count), *strategy)) {
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
