// Regular expressions of pre-tokenizers, run by PCRE2 in UTF mode.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace skipbench {

class Regex {
 public:
  // `pattern` is written for Oniguruma, which Hugging Face tokenizers use; it is translated to
  // PCRE2 where the two differ (white space, word characters, nested character classes). Throws
  // Error naming `where` for a pattern that does not compile or cannot be translated.
  Regex(std::string_view pattern, std::string where);
  // Matches `text` itself.
  static Regex literal(std::string_view text, std::string where);

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // Calls `match(begin, end)` for the non-empty matches in `text`, which must be valid UTF-8, from
  // left to right. Thread-safe. Throws Error when the pattern exhausts its stack on the text, or
  // tries so many ways to match one place that it would not end.
  void for_each_match(std::string_view text,
                      const std::function<void(size_t, size_t)>& match) const;

 private:
  struct Compiled;
  Regex(std::string_view pcre_pattern, uint32_t options, std::string where);

  std::unique_ptr<Compiled> compiled_;
};

// The PCRE2 pattern that means what `pattern` means to Oniguruma (UTF-8, Ruby syntax).
std::string translate_oniguruma(std::string_view pattern, const std::string& where);

}  // namespace skipbench
