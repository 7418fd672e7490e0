#include "cli/text_encoder.h"

#include <span>

#include "cli/token_lines.h"
#include "engine/base/error.h"

namespace skipbench {

void TextOptions::add_to(CLI::App& command) {
  command.add_option("--tokenizer", tokenizer, "tokenizer file or folder (default: the model's)");
  command.add_flag("--add-special", add_special, "add the model's own BOS or EOS to a text");
  command.add_flag("--parse-special", parse_special,
                   "recognise special tokens in the texts, as in a sweep's template");
}

std::vector<int32_t> TextEncoder::encode(const std::string& text, bool is_start) {
  if (!tokenizer_) {
    tokenizer_ = load_tokenizer(options_.tokenizer.empty() ? model_ : options_.tokenizer);
  }
  const TextSegment segment{text, options_.parse_special};
  return tokenizer_->encode(std::span(&segment, 1), options_.add_special && is_start);
}

std::vector<int32_t> TextEncoder::tokens_of(const nlohmann::json& value, const std::string& where,
                                            bool is_start) {
  if (value.is_string()) return encode(value.get<std::string>(), is_start);
  if (value.is_array()) return token_ids_from_json(value, where);
  throw Error({.what = "neither a text nor token ids",
               .where = where,
               .expected = R"(a JSON text or a list of whole numbers, such as [1, 15, 7])",
               .got = value.type_name()});
}

}  // namespace skipbench
