#include "eval/metrics/language.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <string>

namespace skipbench {
namespace {

bool is_one_of(std::string_view part, std::initializer_list<std::string_view> known) {
  return std::ranges::find(known, part) != known.end();
}

// ISO 639, parts 1 to 3.
std::string_view without_spaces(std::string_view part) {
  if (is_one_of(part, {"zh", "zho", "chi", "cmn", "yue"})) return "zh";
  if (is_one_of(part, {"ja", "jpn"})) return "ja";
  if (is_one_of(part, {"th", "tha"})) return "th";
  if (is_one_of(part, {"lo", "lao"})) return "lo";
  if (is_one_of(part, {"km", "khm"})) return "km";
  if (is_one_of(part, {"my", "mya", "bur"})) return "my";
  return "";
}

// Whether `part` says more of `language` instead of beginning another one. Of two letters that are
// both a region and a language ("zh-TW": Taiwan or Twi) the region is meant.
bool is_of(std::string_view language, std::string_view part) {
  if (part.empty() || part.size() > 3 || std::isdigit(static_cast<unsigned char>(part[0]))) {
    return true;  // a script, a variant or a region's number
  }
  if (language == "zh") return is_one_of(part, {"cn", "tw", "hk", "mo", "sg"});
  return (language == "ja" && part == "jp") || (language == "lo" && part == "la") ||
         (language == "km" && part == "kh") || (language == "my" && part == "mm");
}

// Malay is Malaysia's in any case of its letters: "ms-my".
bool is_malaysia(std::string_view language, std::string_view part) {
  return part == "my" && is_one_of(language, {"ms", "msa", "may", "zsm"});
}

// "MY" in "en_MY": Malaysia, not Burmese, since the language before it is not in capitals. KM are
// the Comoros likewise.
bool is_capital_country(std::string_view before, std::string_view part) {
  return is_one_of(part, {"MY", "KM"}) &&
         std::ranges::any_of(before, [](unsigned char c) { return std::islower(c) != 0; });
}

}  // namespace

std::string_view language_without_spaces(std::string_view code) {
  code = code.substr(0, code.find_first_of(".@"));  // POSIX: zh_CN.UTF-8@stroke
  std::string lower(code);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  std::string_view language, latest;  // latest: as it stands in the code
  for (std::string_view rest = lower; !rest.empty();) {
    const size_t end = std::min(rest.find_first_of("-_"), rest.size());
    const std::string_view part = rest.substr(0, end);
    const size_t begin = lower.size() - rest.size();
    if (!is_of(language, part) && !is_malaysia(latest, part) &&
        !is_capital_country(code.substr(0, begin), code.substr(begin, end))) {
      language = without_spaces(part);
      latest = part;
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return language;
}

}  // namespace skipbench
