// Texts that a command takes beside token ids, under the model's tokenizer.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace skipbench {

// --tokenizer, --add-special, --parse-special.
struct TextOptions {
  std::string tokenizer;  // empty: the model's own
  bool add_special = false;
  bool parse_special = false;

  void add_to(CLI::App& command);
};

// Loads the tokenizer when the first text comes: token ids need none.
class TextEncoder {
 public:
  TextEncoder(const TextOptions& options, std::string model)
      : options_(options), model_(std::move(model)) {}

  // `is_start`: --add-special counts for what begins a sequence alone.
  std::vector<int32_t> encode(const std::string& text, bool is_start = true);
  // Of a JSON text or a list of token ids. Throws Error naming `where` for anything else.
  std::vector<int32_t> tokens_of(const nlohmann::json& value, const std::string& where,
                                 bool is_start = true);

 private:
  TextOptions options_;
  std::string model_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

}  // namespace skipbench
