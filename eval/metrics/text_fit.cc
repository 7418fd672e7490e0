#include "eval/metrics/text_fit.h"

#include <fmt/format.h>

#include <algorithm>

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

struct LetterCounts {
  int64_t letters = 0, han = 0, kana = 0, thai = 0;
};

bool is_han(char32_t c) {
  return (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x20000 && c <= 0x3FFFF);
}

// Hiragana and Katakana, half width too.
bool is_kana(char32_t c) {
  return (c >= 0x3041 && c <= 0x30FF && c != 0x30FB) || (c >= 0x31F0 && c <= 0x31FF) ||
         (c >= 0xFF66 && c <= 0xFF9F);
}

bool is_thai(char32_t c) { return c >= 0x0E01 && c <= 0x0E4E && c != 0x0E3F; }

void count_letters(std::string_view text, LetterCounts* counts) {
  for (size_t at = 0; at < text.size();) {
    const bool space = space_bytes(text.substr(at)) > 0;
    const char32_t c = next_code_point(text, &at);
    if (space || c < ' ' || char_class(c) != CharClass::kOther) continue;
    ++counts->letters;
    counts->han += is_han(c) ? 1 : 0;
    counts->kana += is_kana(c) ? 1 : 0;
    counts->thai += is_thai(c) ? 1 : 0;
  }
}

std::string_view name_of(std::string_view language) {
  return language == "zh" ? "Chinese" : language == "ja" ? "Japanese" : "Thai";
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

std::string check_tokenizer(const Metric& metric, const FitRequest& request,
                            const TextProfile& profile, std::string_view language) {
  const std::string tokenizer = setting(metric, "tok");
  const std::string texts = texts_are(request, profile);
  if (tokenizer == "tercom") {
    if (setting(metric, "norm") == "yes" && setting(metric, "asian") == "yes") return "";
    return fmt::format(
        "{}: without `normalized` and `asian_support` TER takes a sentence for one word in {}",
        request.metric, texts);
  }
  if (tokenizer != "13a" && tokenizer != "intl" && tokenizer != "none") return "";
  const std::string what = fmt::format("tokenizer {} does not split {}", tokenizer, texts);
  if (request.forced) return fmt::format("{}: {}: scores mean little", request.metric, what);
  throw Error({.what = what,
               .where = request.where,
               .expected = language == "zh" ? "zh or char" : "char",
               .got = tokenizer,
               .hint = request.hint});
}

}  // namespace

TextProfile profile_references(std::span<const std::vector<std::string>> references) {
  TextProfile profile;
  LetterCounts counts;
  for (const std::vector<std::string>& of_segment : references) {
    for (const std::string& text : of_segment) {
      if (strip(text).empty()) continue;
      ++profile.texts;
      count_letters(text, &counts);
      if (rouge_tokens(text, /*stemmer=*/false).empty()) ++profile.without_rouge_tokens;
    }
  }
  const int64_t east_asian = counts.han + counts.kana;
  const auto spaceless = static_cast<double>(east_asian + counts.thai);
  profile.share = spaceless / static_cast<double>(std::max<int64_t>(1, counts.letters));
  if (profile.share < kLeastShare) return profile;
  const bool has_kana =
      static_cast<double>(counts.kana) >= kLeastKana * static_cast<double>(east_asian);
  profile.language = counts.thai > east_asian ? "th" : has_kana ? "ja" : "zh";
  return profile;
}

std::string check_fit(const Metric& metric, const FitRequest& request, const TextProfile& profile) {
  const std::string_view language =
      request.language.empty() ? profile.language : language_without_spaces(request.language);
  if (request.metric == "rouge" && 2 * profile.without_rouge_tokens > profile.texts) {
    return fmt::format(
        "rouge: {} of {} references have no token: rouge_score knows words of [a-z0-9] alone, all "
        "else scores 0; use chrf, or bleu with a tokenizer that fits",
        profile.without_rouge_tokens, profile.texts);
  }
  return language.empty() ? "" : check_tokenizer(metric, request, profile, language);
}

}  // namespace skipbench
