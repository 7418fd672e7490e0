// The languages whose texts have no spaces between words.
#pragma once

#include <string_view>

namespace skipbench {

// "zh" for Chinese, "ja" for Japanese, "th" for Thai, "lo" for Lao, "km" for Khmer, "my" for
// Burmese, "" for any other language. `code` is a language with or without script and region ("zh",
// "ZH", "zh_CN", "zh-Hans", "zho_Hans", "ja_JP.UTF-8") or a pair ("en-zh", "en_US-zh_CN"), of which
// the second language counts. Never fails: what is no code of a language is another language.
std::string_view language_without_spaces(std::string_view code);

}  // namespace skipbench
