// From Oniguruma's regular expressions to PCRE2's. Differences that pre-tokenizers meet:
// https://github.com/kkos/oniguruma/blob/master/doc/RE and pcre2pattern(3).
#include <fmt/format.h>

#include "engine/base/error.h"
#include "engine/tokenizer/regex.h"

namespace skipbench {
namespace {

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where)
      : pattern_(pattern), where_(where) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (class_depth_ > 0) {
        in_class(c);
      } else if (c == '[') {
        open_class();
      } else {
        out_ += c;
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error({.what = fmt::format("{} in the regular expression '{}'", what, pattern_),
                 .where = where_});
  }

  char peek(size_t ahead) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }

  void open_class() {
    class_depth_ = 1;
    out_ += '[';
    ++at_;
    if (peek(0) == '^') {
      out_ += '^';
      ++at_;
    }
    if (peek(0) == ']') {  // first in its class: the character itself
      out_ += "\\]";
      ++at_;
    }
  }

  // A class inside a class is a union in Oniguruma, and a literal '[' in PCRE2.
  void in_class(char c) {
    if (c == '[' && peek(1) == ':') return posix_class();
    if (c == '[' && peek(1) == '^') refuse("unsupported nested negated class");
    if (c == '&' && peek(1) == '&') refuse("unsupported class intersection");
    ++at_;
    if (c == '[') {
      ++class_depth_;
    } else if (c != ']') {
      out_ += c;
    } else if (--class_depth_ == 0) {
      out_ += ']';
    }
  }

  void posix_class() {
    const size_t end = pattern_.find(":]", at_);
    if (end == std::string_view::npos) refuse("unfinished POSIX class");
    out_ += pattern_.substr(at_, end + 2 - at_);
    at_ = end + 2;
  }

  void escape() {
    const char c = peek(1);
    const bool letter_or_digit =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    at_ += 2;
    if (!letter_or_digit && c != '\0') {
      out_ += '\\';
      out_ += c;
      return;
    }
    switch (c) {
      // PCRE2's \s holds U+180E beside the property White_Space.
      case 's':
        out_ += "\\p{White_Space}";
        return;
      case 'S':
        out_ += "\\P{White_Space}";
        return;
      case 'w':
        word();
        return;
      case 'W':
        if (class_depth_ > 0) refuse("unsupported \\W inside a class");
        out_ += "[^\\p{L}\\p{M}\\p{Nd}\\p{Pc}]";
        return;
      case 'v':
        out_ += "\\x{0B}";
        return;  // PCRE2: any vertical white space
      case 'u':
        unicode();
        return;
      case 'd':
      case 'D':
      case 'p':
      case 'P':
      case 'x':
      case 'r':
      case 'n':
      case 't':
      case 'f':
      case 'b':
      case 'B':
      case 'A':
      case 'z':
        out_ += '\\';
        out_ += c;
        return;
      default:
        refuse(fmt::format("unsupported escape \\{}", c));
    }
  }

  // PCRE2's \w has neither marks nor connectors other than '_'.
  void word() {
    constexpr std::string_view kWord = "\\p{L}\\p{M}\\p{Nd}\\p{Pc}";
    out_ += class_depth_ > 0 ? std::string(kWord) : fmt::format("[{}]", kWord);
  }

  void unicode() {
    if (at_ + 4 > pattern_.size()) refuse("unfinished \\u");
    out_ += fmt::format("\\x{{{}}}", pattern_.substr(at_, 4));
    at_ += 4;
  }

  std::string_view pattern_;
  const std::string& where_;
  size_t at_ = 0;
  int class_depth_ = 0;
  std::string out_;
};

}  // namespace

std::string translate_oniguruma(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace skipbench
