// Text as the tokenizers need it, beyond engine/base/utf8.h: valid runs, replacement of what is not
// valid, character classes and NFC.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "engine/base/utf8.h"

namespace skipbench {

// Calls `run(bytes, is_valid)` for the maximal valid and invalid runs of `text`, in order.
void for_each_utf8_run(std::string_view text,
                       const std::function<void(std::string_view, bool)>& run);

// Every byte outside a valid sequence becomes one U+FFFD, as sentencepiece's normalizer does it.
std::string replace_invalid_utf8(std::string_view text);
bool is_valid_utf8(std::string_view text);

// Unicode white space (property White_Space) and word characters (letters, marks, decimal digits,
// connectors), as the `\s` and `\w` of Hugging Face tokenizers mean them.
bool is_white_space(char32_t code_point);
bool is_word_character(char32_t code_point);

// Canonical composition (UAX #15) of valid UTF-8.
std::string normalize_nfc(std::string_view text);

}  // namespace skipbench
