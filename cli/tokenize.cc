// skipbench tokenize: text to token ids and back, line by line.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/input_lines.h"
#include "cli/options.h"
#include "cli/token_lines.h"
#include "engine/base/error.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/utf8.h"

namespace skipbench {
namespace {

struct TokenizeRequest {
  std::string model;
  std::string input = "-";
  bool json = false;
  bool decode = false;
  bool add_special = false;
  bool parse_special = false;
  bool skip_special = false;
};

std::string encode_line(const TokenizeRequest& request, const Tokenizer& tokenizer,
                        const std::string& line, const std::string& where) {
  TextSegment segment{line, request.parse_special};
  if (request.json) {
    const nlohmann::json value = parse_json_line(line, where);
    if (!value.is_string()) {
      throw Error({.what = "not a text",
                   .where = where,
                   .expected = "a JSON string",
                   .got = value.type_name()});
    }
    segment.text = value.get<std::string>();
  }
  const nlohmann::json ids = tokenizer.encode(std::span(&segment, 1), request.add_special);
  return nlohmann::json{{"ids", ids}}.dump();
}

std::string hex(std::string_view bytes) {
  std::string digits;
  for (const char byte : bytes) digits += fmt::format("{:02x}", static_cast<uint8_t>(byte));
  return digits;
}

// JSON holds no bytes outside UTF-8: such a text is printed with U+FFFD for them, and whole in hex.
std::string decode_line(const TokenizeRequest& request, const Tokenizer& tokenizer,
                        const std::string& line, const std::string& where) {
  nlohmann::json value = parse_json_line(line, where);
  if (value.is_object() && value.contains("ids")) value = nlohmann::json(value["ids"]);
  const std::vector<int32_t> ids = token_ids_from_json(value, where);
  std::string text;
  try {
    text = tokenizer.decode(ids, request.skip_special);
  } catch (const Error& error) {
    ErrorParts parts = error.parts();
    parts.where = where;
    throw Error(std::move(parts));
  }
  nlohmann::ordered_json out{{"text", replace_invalid_utf8(text)}};
  if (!is_valid_utf8(text)) out["bytes"] = hex(text);
  // Escaped to ASCII: U+0085 and U+2028 end a line for some readers.
  return out.dump(-1, ' ', true);
}

void tokenize(const TokenizeRequest& request) {
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(request.model);
  const std::string name = request.input == "-" ? "standard input" : request.input;
  const std::vector<std::string> lines = read_input_lines(request.input);
  const auto& convert = request.decode ? decode_line : encode_line;
  std::string out;  // printed when every line is right
  for (size_t i = 0; i < lines.size(); ++i) {
    out += convert(request, *tokenizer, lines[i], fmt::format("{}:{}", name, i + 1)) + '\n';
  }
  std::cout << out;
}

}  // namespace

void add_tokenize(CLI::App& app) {
  CLI::App* command = app.add_subcommand("tokenize", "Text to token ids and back, line by line");
  const auto request = std::make_shared<TokenizeRequest>();
  command
      ->add_option("-m,--model", request->model,
                   "model folder, GGUF (with or without weights), tokenizer.json or sentencepiece "
                   ".model file")
      ->required();
  command
      ->add_option(
          "-i,--input", request->input,
          "file to read, - for standard input; lines end at LF only and may hold any bytes")
      ->capture_default_str();
  CLI::Option* json =
      command->add_flag("--json", request->json, "each input line is a JSON string");
  CLI::Option* decode =
      command
          ->add_flag("--decode", request->decode,
                     "each input line is a JSON array of ids or {\"ids\":[...]}; prints "
                     "{\"text\":...}, with U+FFFD for what is not UTF-8 and then also "
                     "\"bytes\":\"HEX\", which holds the text exactly")
          ->excludes(json);
  command
      ->add_flag("--add-special", request->add_special,
                 "add the tokens that the model puts around a text (BOS, EOS)")
      ->excludes(decode);
  command
      ->add_flag("--parse-special", request->parse_special,
                 "recognise special tokens in the text, as in a chat template")
      ->excludes(decode);
  command->add_flag("--skip-special", request->skip_special, "with --decode: leave them out")
      ->needs(decode);
  command->footer(
      "Example:\n  echo 'Guten Tag' | skipbench tokenize --model models/smollm2-135m --input -");
  command->callback([request] { tokenize(*request); });
}

}  // namespace skipbench
