#include "cli/probe_texts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/input_lines.h"
#include "cli/token_lines.h"
#include "engine/base/error.h"
#include "engine/weights/load.h"
#include "eval/sweep/session.h"

namespace skipbench {
namespace {

class FileReader {
 public:
  FileReader(const ProbeTextOptions& options, const ModelConfig& config)
      : options_(options),
        config_(config),
        is_json_(options.input.ends_with(".jsonl")),
        encoder_(options.texts, options.engine.model) {}

  std::vector<ScoreRequest> read() {
    const std::vector<std::string> lines = read_input_lines(options_.input);
    std::vector<ScoreRequest> requests;
    for (size_t i = 0; i < lines.size() && std::ssize(requests) < options_.limit; ++i) {
      if (lines[i].empty()) continue;
      where_ = options_.input + ":" + std::to_string(i + 1);
      ScoreRequest request = is_json_ ? json_request(lines[i]) : split(encoder_.encode(lines[i]));
      if (request.continuation.empty()) continue;
      check_positions(std::ssize(request.prompt) + std::ssize(request.continuation), config_,
                      where_);
      check_tokens(request.prompt, config_, where_);
      check_tokens(request.continuation, config_, where_);
      request.text = static_cast<int32_t>(i);
      requests.push_back(std::move(request));
    }
    return requests;
  }

 private:
  ScoreRequest split(TokenIds tokens) const {
    const auto prompt = std::min(options_.prompt_tokens, std::ssize(tokens));
    const auto middle = tokens.begin() + prompt;
    return {{tokens.begin(), middle}, {middle, tokens.end()}};
  }

  ScoreRequest json_request(const std::string& line) {
    const nlohmann::json json = parse_json_line(line, where_);
    if (json.is_object() && json.contains("text")) {
      return split(encoder_.tokens_of(json["text"], where_ + ", text"));
    }
    if (json.is_object() && json.contains("prompt") && json.contains("continuation")) {
      return {encoder_.tokens_of(json["prompt"], where_ + ", prompt"),
              encoder_.tokens_of(json["continuation"], where_ + ", continuation",
                                 /*is_start=*/false)};
    }
    throw Error({.what = "no text in the line",
                 .where = where_,
                 .expected =
                     R"({"text": ...} or {"prompt": ..., "continuation": ...}, each a text )"
                     "or token ids"});
  }

  const ProbeTextOptions& options_;
  const ModelConfig& config_;
  bool is_json_;
  TextEncoder encoder_;
  std::string where_;
};

// As a sweep makes its calibration data.
std::vector<ScoreRequest> calibration_texts(const ProbeTextOptions& options,
                                            const SweepSetup& setup, Model& model) {
  const size_t index = find_dataset(setup.config, options.dataset);
  const DatasetSection& dataset = setup.config.datasets[index];
  std::span<const TokenIds> prompts = setup.inputs[index].calibration_prompts;
  prompts = prompts.first(std::min(prompts.size(), static_cast<size_t>(options.limit)));
  const auto full = make_strategy({.name = "full"}, setup.context.num_layers);
  GenerateOptions generate = natural_length(setup, dataset);
  std::vector<ScoreRequest> requests;
  for (size_t begin = 0; begin < prompts.size(); begin += static_cast<size_t>(options.batch)) {
    const auto part = prompts.subspan(
        begin, std::min(static_cast<size_t>(options.batch), prompts.size() - begin));
    generate.first_text = static_cast<int32_t>(begin);
    GenerateResult result = Decoder(model).generate(part, *full, generate);
    for (size_t i = 0; i < part.size(); ++i) {
      requests.push_back({part[i], std::move(result.outputs[i].tokens),
                          generate.first_text + static_cast<int32_t>(i)});
    }
  }
  return requests;
}

}  // namespace

void ProbeTextOptions::add_to(CLI::App& command) {
  command.add_option("config", config,
                     "a sweep's YAML instead of --model and --input: its model, and a dataset's "
                     "calibration prompts with the whole model's outputs");
  command.add_option("--set", overrides, "KEY=VALUE changes the configuration; repeatable")
      ->allow_extra_args(false);
  command.add_option("--dataset", dataset, "of the configuration (default: its first)");
  engine.add_to(command);
  command.get_option("--model")->required(false);
  command.add_option("--input", input,
                     "file of texts, one per line; .jsonl: {\"text\"} or {\"prompt\", "
                     "\"continuation\"}, texts or token ids");
  texts.add_to(command);
  command.add_option("--prompt-tokens", prompt_tokens, "tokens of a text that are its prompt")
      ->check(whole_number(1, 1 << 20))
      ->capture_default_str();
  command.add_option("--limit", limit, "texts used, from the first")
      ->check(whole_number(1, 1 << 30))
      ->capture_default_str();
  command.add_option("--batch", batch, "texts per pass")
      ->check(whole_number(1, 1 << 16))
      ->capture_default_str();
  for (const auto& [flag, key] : {std::pair("--adapter", ""),
                                  {"--device", "device"},
                                  {"--dtype", "model.dtype"},
                                  {"--threads", "model.threads"},
                                  {"--seed", ""},
                                  {"--tokenizer", "model.tokenizer"},
                                  {"--add-special", ""},
                                  {"--parse-special", ""},
                                  {"--prompt-tokens", ""}}) {
    without_config.emplace_back(command.get_option(flag), key);
  }
  with_config = {command.get_option("--set"), command.get_option("--dataset")};
}

int64_t ProbeTexts::num_tokens() const {
  int64_t count = num_predicted();
  for (const ScoreRequest& request : requests) count += std::ssize(request.prompt);
  return count;
}

int64_t ProbeTexts::num_predicted() const {
  int64_t count = 0;
  for (const ScoreRequest& request : requests) count += std::ssize(request.continuation);
  return count;
}

std::string ProbeTexts::hash() const {
  std::vector<TokenIds> parts;
  for (const ScoreRequest& request : requests) {
    parts.push_back(request.prompt);
    parts.push_back(request.continuation);
  }
  return hash_prompts(parts);
}

ProbeInput open_probe_input(const ProbeTextOptions& options) {
  const bool has_files = !options.engine.model.empty() && !options.input.empty();
  if (options.config.empty() ? !has_files
                             : !options.engine.model.empty() || !options.input.empty()) {
    throw Error({.what = "probe needs a model and texts",
                 .where = "skipbench probe",
                 .expected = "either a sweep's configuration, or --model and --input"});
  }
  if (options.config.empty()) {
    for (const CLI::Option* option : options.with_config) {
      if (option->empty()) continue;
      throw Error({.what = "this option changes a configuration, and none is given",
                   .where = option->get_name(),
                   .expected = "a sweep's YAML"});
    }
  } else {
    for (const auto& [option, key] : options.without_config) {
      if (option->empty()) continue;
      throw Error({.what = "with a configuration this option is not read",
                   .where = option->get_name(),
                   .expected = key.empty() ? "it left out" : "`--set " + key + "=VALUE`"});
    }
  }
  ProbeInput input;
  if (!options.config.empty()) {
    input.setup = prepare_sweep(load_sweep_config(options.config, options.overrides));
    input.loaded = &input.setup->loaded;
    input.backend = input.setup->backend.get();
    return input;
  }
  input.own = load_model(options.engine.model_name(), options.engine.adapter);
  input.loaded = &*input.own;
  input.own_backend = make_backend(options.engine.device_spec());
  input.backend = input.own_backend.get();
  return input;
}

ProbeTexts read_probe_texts(const ProbeTextOptions& options, const ProbeInput& input,
                            Model& model) {
  ProbeTexts texts;
  texts.requests = input.setup ? calibration_texts(options, *input.setup, model)
                               : FileReader(options, input.loaded->config).read();
  std::erase_if(texts.requests, [](const ScoreRequest& r) { return r.continuation.empty(); });
  if (texts.requests.empty()) {
    throw Error({.what = "no text to measure layers on",
                 .where = input.setup ? options.config : options.input,
                 .expected = "at least one text of two tokens or more"});
  }
  if (input.setup) {
    texts.max_new_tokens = input.setup->config.max_new_tokens;
    return texts;
  }
  for (const ScoreRequest& request : texts.requests) {
    texts.max_new_tokens =
        std::max(texts.max_new_tokens, static_cast<int>(request.continuation.size()));
  }
  return texts;
}

}  // namespace skipbench
