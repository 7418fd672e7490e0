// skipbench generate: texts under a strategy, one JSON line per input line.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/input_lines.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/token_lines.h"
#include "engine/decoder.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/weights/load.h"

namespace skipbench {
namespace {

struct GenerateCommand {
  EngineOptions engine;
  StrategyOptions strategy;
  std::string input;  // empty: `prompts`
  std::vector<std::string> prompts;
  std::string tokenizer;  // empty: the model's own
  bool ids = false;
  bool ignore_eos = false;
  bool add_special = false;
  bool parse_special = false;
  int64_t batch = 1;
  int max_new_tokens = 64;
  Sampling sampling;
  BeamOptions beams;
  std::string early_stopping = "false";
};

// Makes token ids of a line and checks them.
class PromptParser {
 public:
  PromptParser(const GenerateCommand& command, const Tokenizer* tokenizer,
               const ModelConfig& config)
      : command_(command), tokenizer_(tokenizer), config_(config) {}

  TokenIds parse(const std::string& line, size_t index) {
    const std::string where =
        (command_.input.empty() ? "--prompt " : command_.input + ":") + std::to_string(index + 1);
    const TextSegment text{line, command_.parse_special};
    TokenIds prompt = command_.ids ? token_ids_from_json(parse_json_line(line, where), where)
                                   : tokenizer_->encode(std::span(&text, 1), command_.add_special);
    check_tokens(prompt, config_, where);
    check_positions(std::ssize(prompt), config_, where);
    warn_if_long(std::ssize(prompt), where);
    return prompt;
  }

 private:
  void warn_if_long(int64_t tokens, const std::string& where) {
    const int64_t positions = tokens + command_.max_new_tokens - 1;
    if (warned_ || config_.max_positions <= 0 || positions <= config_.max_positions) return;
    warned_ = true;
    std::cerr << fmt::format(
        "skipbench generate: warning: {}: prompt and --max-new-tokens take {} positions, and the "
        "model was made for {} (said of the first such prompt only)\n",
        where, positions, config_.max_positions);
  }

  const GenerateCommand& command_;
  const Tokenizer* tokenizer_;
  const ModelConfig& config_;
  bool warned_ = false;
};

// A model may come without a tokenizer: with --ids its text is then left out.
std::unique_ptr<Tokenizer> find_tokenizer(const GenerateCommand& command) {
  const std::string path = command.tokenizer.empty() ? command.engine.model : command.tokenizer;
  if (!command.ids || !command.tokenizer.empty()) return load_tokenizer(path);
  try {
    return load_tokenizer(path);
  } catch (const std::exception&) {
    return nullptr;
  }
}

void print_line(size_t index, const TokenIds& prompt, const GenerateOutput& output,
                const Tokenizer* tokenizer) {
  nlohmann::ordered_json json;
  json["index"] = index;
  json["prompt_tokens"] = prompt.size();
  json["tokens"] = output.tokens;
  json["text"] = nullptr;
  if (tokenizer != nullptr)
    json["text"] = tokenizer->decode_known(output.tokens, /*skip_special=*/true);
  json["layers_per_token"] = layers_to_json(output.layers_per_token);
  if (output.verify_calls > 0) {
    json["drafted"] = output.drafted;
    json["accepted"] = output.accepted;
    json["verify_calls"] = output.verify_calls;
  }
  std::cout << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

void check_options(const GenerateCommand& command) {
  if (command.input.empty() == command.prompts.empty()) {
    throw Error({.what = "prompts come from one place",
                 .where = "skipbench generate",
                 .expected = "--input FILE or --prompt TEXT",
                 .got = command.input.empty() ? "neither" : "both"});
  }
  if (command.engine.seed != 0 && command.engine.model.find("synthetic:") == std::string::npos) {
    throw Error({.what = "--seed is that of a synthetic model's weights",
                 .where = "--seed",
                 .expected = "--sampling-seed for the draws of tokens, or `--param seed=` for the "
                             "strategy random"});
  }
  if (command.sampling.seed != 0 && command.sampling.is_greedy()) {
    throw Error({.what = "a seed of draws, and nothing is drawn",
                 .where = "--sampling-seed",
                 .expected = "--temperature above 0 beside it",
                 .got = std::to_string(command.sampling.seed)});
  }
}

void generate(const GenerateCommand& command) {
  check_options(command);
  const LoadedModel loaded = load_model(command.engine.model_name(), command.engine.adapter);
  const auto tokenizer = find_tokenizer(command);
  check_sampling(command.sampling, "--temperature or --top-k");
  const auto strategy = command.strategy.make(loaded.config.num_layers, command.max_new_tokens);
  const auto backend = make_backend(command.engine.device_spec());
  Model model(loaded, *backend);
  Decoder decoder(model);
  GenerateOptions options{.max_new_tokens = command.max_new_tokens,
                          .sampling = command.sampling,
                          .beams = command.beams};
  options.beams.early_stopping = parse_early_stopping(command.early_stopping, "--early-stopping");
  if (!command.ignore_eos) options.end_of_text_ids = loaded.config.end_of_text_ids;
  check_beam_candidates(options.beams, options.end_of_text_ids.size(), loaded.config.vocab_size,
                        "--beams");
  PromptParser parser(command, tokenizer.get(), loaded.config);
  const auto parse = [&](const std::string& line, size_t index) {
    return parser.parse(line, index);
  };
  const auto work = [&](std::span<const TokenIds> prompts, size_t first) {
    options.first_text = static_cast<int32_t>(first);
    const GenerateResult result = decoder.generate(prompts, *strategy, options);
    for (size_t i = 0; i < prompts.size(); ++i) {
      print_line(first + i, prompts[i], result.outputs[i], tokenizer.get());
    }
    flush_output();
  };
  const auto batch = static_cast<size_t>(command.batch);
  if (command.input.empty()) {
    work_in_batches<TokenIds>(command.prompts, batch, parse, work);
  } else {
    work_in_batches<TokenIds>(command.input, batch, parse, work);
  }
}

}  // namespace

void add_generate(CLI::App& app) {
  const auto command = std::make_shared<GenerateCommand>();
  CLI::App* sub =
      app.add_subcommand("generate", "Text under a strategy, one JSON line per input line");
  command->engine.add_to(*sub);
  command->strategy.add_to(*sub);
  sub->add_option(
      "--input", command->input,
      "file with one prompt per line; - is stdin, of which a batch is decoded as soon as "
      "it is there (at --batch 1 each line)");
  sub->add_option("-p,--prompt", command->prompts, "a prompt, in place of --input; repeatable")
      ->allow_extra_args(false);
  sub->add_flag("--ids", command->ids, "an input line is a JSON array of token ids");
  sub->add_option("--tokenizer", command->tokenizer,
                  "tokenizer file or folder (default: the model's)");
  sub->add_flag("--add-special", command->add_special,
                "add the model's own BOS or EOS to a prompt");
  sub->add_flag("--parse-special", command->parse_special,
                "recognise special tokens in the prompts, as in a sweep's template");
  sub->add_option("--batch", command->batch, "prompts decoded together")
      ->check(whole_number(1, 1 << 16))
      ->capture_default_str();
  sub->add_option("--max-new-tokens", command->max_new_tokens, "longest output")
      ->check(whole_number(1, 1 << 24))
      ->capture_default_str();
  sub->add_option("--temperature", command->sampling.temperature,
                  "0: greedy; else tokens are drawn from softmax(logits / temperature)")
      ->check(finite_number())
      ->capture_default_str();
  sub->add_option("--top-k", command->sampling.top_k,
                  "how many of the most probable tokens may be drawn; 0: all")
      ->check(whole_number(0, 1 << 30))
      ->capture_default_str();
  sub->add_option("--sampling-seed", command->sampling.seed,
                  "seed of the draws; a text's depend on its line too, not on its batch")
      ->check(whole_number(0, int64_t{1} << 62))
      ->capture_default_str();
  sub->add_option("--beams", command->beams.beams, "hypotheses of a beam search; 1: none")
      ->check(whole_number(1, 64))
      ->capture_default_str();
  sub->add_option("--length-penalty", command->beams.length_penalty,
                  "of beam search: a text's score is its log-probability over length^this")
      ->check(finite_number())
      ->capture_default_str();
  sub->add_option("--early-stopping", command->early_stopping,
                  "of beam search, as in Hugging Face: false, true, never")
      ->capture_default_str();
  sub->add_option("--no-repeat-ngram", command->beams.no_repeat_ngram,
                  "of beam search: n-grams of this length come once; 0: any")
      ->check(whole_number(0, 1 << 20))
      ->capture_default_str();
  sub->add_flag("--ignore-eos", command->ignore_eos, "do not end at end-of-text: forced length");
  sub->footer(
      "Example:\n  skipbench generate --model models/smollm2-135m --input prompts.txt \\\n"
      "    --strategy unified --target 2 --batch 8 --max-new-tokens 32\n"
      "  skipbench generate --model models/miniature --prompt 'Guten Tag!<en>' --parse-special \\\n"
      "    --strategy unified --target 2 --adapter models/miniature/adapters/unified-2x");
  sub->callback([command] { generate(*command); });
}

}  // namespace skipbench
