#include "eval/metrics/text_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "engine/base/error.h"
#include "eval/metrics/language.h"
#include "eval/metrics/rouge.h"
#include "eval/metrics/unicode.h"

namespace skipbench {
namespace {

// Of a text in one of these languages with foreign names in it; texts in others quote less.
constexpr double kLeastShare = 0.3;
// Japanese has about as much Kana as Han, Chinese none.
constexpr double kLeastKana = 0.1;

// Letters between two blanks: words have fewer on average, phrases and sentences more.
constexpr int64_t kMostHanAndKana = 4, kMostOthers = 8;

enum class Script { kOther, kHan, kKana, kThai, kLao, kKhmer, kBurmese };
constexpr size_t kScripts = 7;

struct LetterCounts {
  int64_t letters = 0;
  std::array<int64_t, kScripts> of_script{};
  int64_t gaps = 0;  // blanks between two words with letters of scripts without spaces

  int64_t of(Script script) const { return of_script[static_cast<size_t>(script)]; }
  int64_t east_asian() const { return of(Script::kHan) + of(Script::kKana); }
  int64_t others() const {
    return of(Script::kThai) + of(Script::kLao) + of(Script::kKhmer) + of(Script::kBurmese);
  }
};

struct ScriptRange {
  char32_t first, last;
  Script script;
};

// With the marks that belong to letters; digits and punctuation are no letters anyway. Kana is
// Hiragana and Katakana, half width too.
constexpr ScriptRange kWithoutSpaces[] = {
    {0x0E01, 0x0E4E, Script::kThai},    {0x0E81, 0x0EDF, Script::kLao},
    {0x1000, 0x109F, Script::kBurmese}, {0x1780, 0x17DD, Script::kKhmer},
    {0x3041, 0x30FA, Script::kKana},    {0x30FC, 0x30FF, Script::kKana},
    {0x31F0, 0x31FF, Script::kKana},    {0x3400, 0x4DBF, Script::kHan},
    {0x4E00, 0x9FFF, Script::kHan},     {0xA9E0, 0xA9FE, Script::kBurmese},
    {0xAA60, 0xAA7F, Script::kBurmese}, {0xF900, 0xFAFF, Script::kHan},
    {0xFF66, 0xFF9F, Script::kKana},    {0x20000, 0x3FFFF, Script::kHan},
};

Script script_of(char32_t c) {
  for (const ScriptRange& range : kWithoutSpaces) {
    if (c >= range.first && c <= range.last) return range.script;
  }
  return Script::kOther;
}

void count_letters(std::string_view text, LetterCounts* counts) {
  bool word_before = false, word = false;  // whether it has letters of a script without spaces
  bool at_blank = true;
  for (size_t at = 0; at < text.size();) {
    const bool space = space_bytes(text.substr(at)) > 0;
    const char32_t c = next_code_point(text, &at);
    if (space) {
      if (!at_blank) word_before = std::exchange(word, false);
      at_blank = true;
      continue;
    }
    at_blank = false;
    if (c < ' ' || char_class(c) != CharClass::kOther) continue;
    ++counts->letters;
    const Script script = script_of(c);
    ++counts->of_script[static_cast<size_t>(script)];
    if (script == Script::kOther || word) continue;
    word = true;
    if (word_before) ++counts->gaps;
    word_before = false;
  }
}

bool has_spaces(const LetterCounts& counts) {
  const bool is_east_asian = counts.east_asian() >= counts.others();
  return counts.east_asian() + counts.others() <=
         counts.gaps * (is_east_asian ? kMostHanAndKana : kMostOthers);
}

std::string_view language_of(const LetterCounts& counts) {
  const int64_t east_asian = counts.east_asian();
  std::string_view language =
      static_cast<double>(counts.of(Script::kKana)) >= kLeastKana * static_cast<double>(east_asian)
          ? "ja"
          : "zh";
  int64_t most = east_asian;
  for (const auto& [script, name] : {std::pair(Script::kThai, "th"),
                                     {Script::kLao, "lo"},
                                     {Script::kKhmer, "km"},
                                     {Script::kBurmese, "my"}}) {
    if (counts.of(script) <= most) continue;
    most = counts.of(script);
    language = name;
  }
  return language;
}

std::string_view language_of(const FitRequest& request, const TextProfile& references) {
  return request.language.empty() ? references.language : language_without_spaces(request.language);
}

std::string_view name_of(std::string_view language) {
  for (const auto& [code, name] : {std::pair("zh", "Chinese"),
                                   {"ja", "Japanese"},
                                   {"th", "Thai"},
                                   {"lo", "Lao"},
                                   {"km", "Khmer"}}) {
    if (language == code) return name;
  }
  return "Burmese";
}

std::string setting(const Metric& metric, std::string_view key) {
  for (const auto& [name, value] : metric.settings()) {
    if (name == key) return value;
  }
  return "";
}

// "text in language en-zh", or "Chinese text (97 % of the references' letters)".
std::string texts_are(const FitRequest& request, const TextProfile& profile) {
  if (!request.language.empty()) return "text in language " + request.language;
  return fmt::format("{} text ({:.0f} % of the references' letters)", name_of(profile.language),
                     100 * profile.share);
}

bool splits_han(const Metric& ter) {
  return setting(ter, "norm") == "yes" && setting(ter, "asian") == "yes";
}

// Whether some or all sentences without spaces stay one word each.
bool leaves_whole(const Metric& metric, std::string_view language) {
  const std::string tokenizer = setting(metric, "tok");
  if (tokenizer == "tercom") return language != "zh" || !splits_han(metric);
  if (tokenizer == "zh") return language != "zh";
  return tokenizer == "13a" || tokenizer == "intl" || tokenizer == "none";
}

std::string_view fitting_tokenizer(std::string_view language) {
  return language == "zh" ? "zh or char" : "char";
}

std::string check_ter(const Metric& metric, const FitRequest& request, const std::string& texts,
                      std::string_view language) {
  if (language != "zh" && language != "ja") {
    return fmt::format(
        "{}: TER takes a sentence for one word in {}, with `asian_support` too: put blanks between "
        "the words of both sides first, or use chrf or bleu with tokenizer char",
        request.metric, texts);
  }
  if (!splits_han(metric)) {
    return fmt::format(
        "{}: without `normalized` and `asian_support` TER takes a sentence for one word in {}",
        request.metric, texts);
  }
  return fmt::format("{}: `asian_support` splits Han alone in {}: runs of Kana stay one word each",
                     request.metric, texts);
}

std::string check_tokenizer(const Metric& metric, const FitRequest& request,
                            const TextProfile& profile, std::string_view language) {
  if (profile.has_spaces || !leaves_whole(metric, language)) return "";
  const std::string tokenizer = setting(metric, "tok");
  const std::string texts = texts_are(request, profile);
  if (tokenizer == "tercom") return check_ter(metric, request, texts, language);
  if (tokenizer == "zh" && language == "ja") {
    return fmt::format(
        "{}: tokenizer zh splits Han alone in {}: runs of Kana stay one word each; "
        "char splits them",
        request.metric, texts);
  }
  const std::string what = fmt::format("tokenizer {} does not split {}", tokenizer, texts);
  if (request.forced) return fmt::format("{}: {}: scores mean little", request.metric, what);
  throw Error({.what = what,
               .where = request.where,
               .expected = std::string(fitting_tokenizer(language)),
               .got = tokenizer,
               .hint = request.hint});
}

}  // namespace

TextProfile profile_texts(std::span<const std::vector<std::string>> texts) {
  TextProfile profile;
  LetterCounts counts;
  for (const std::vector<std::string>& list : texts) {
    for (const std::string& text : list) {
      if (strip(text).empty()) continue;
      ++profile.texts;
      count_letters(text, &counts);
      if (rouge_tokens(text, /*stemmer=*/false).empty()) ++profile.without_rouge_tokens;
    }
  }
  profile.share = static_cast<double>(counts.east_asian() + counts.others()) /
                  static_cast<double>(std::max<int64_t>(1, counts.letters));
  if (profile.share < kLeastShare) return profile;
  profile.language = language_of(counts);
  profile.has_spaces = has_spaces(counts);
  return profile;
}

std::string check_fit(const Metric& metric, const FitRequest& request, const TextProfile& profile) {
  const std::string_view language = language_of(request, profile);
  if (request.metric == "rouge" && 2 * profile.without_rouge_tokens > profile.texts) {
    return fmt::format(
        "rouge: {} of {} references have no token: rouge_score knows words of [a-z0-9] alone, all "
        "else scores 0; use chrf, or bleu with a tokenizer that fits",
        profile.without_rouge_tokens, profile.texts);
  }
  return language.empty() ? "" : check_tokenizer(metric, request, profile, language);
}

std::string check_segmented_alike(const Metric& metric, const FitRequest& request,
                                  const TextProfile& references, const TextProfile* outputs,
                                  const std::string& name) {
  const std::string_view language = language_of(request, references);
  if (language.empty() || !references.has_spaces || !leaves_whole(metric, language)) return "";
  if (outputs != nullptr && (outputs->language.empty() || outputs->has_spaces)) return "";
  std::string text = fmt::format(
      "{}: the references have blanks between their {} words, and {} {}: tokenizer {} takes a "
      "sentence without them for one word; segment both sides alike",
      request.metric, name_of(language), name,
      outputs != nullptr ? "has none" : "must have them too", setting(metric, "tok"));
  if (request.metric == "bleu") {
    text += fmt::format(", or use tokenizer {}", fitting_tokenizer(language));
  }
  return text;
}

}  // namespace skipbench
