#include "eval/metrics/porter.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <string_view>
#include <utility>

namespace skipbench {
namespace {

constexpr bool is_plain_vowel(char c) {
  return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

// Calls visit(is_consonant) for every letter. A 'y' is a consonant at the start and after a vowel.
template <typename Visit>
void for_each_letter(std::string_view word, Visit visit) {
  bool previous = false;
  for (const char c : word) {
    previous = c == 'y' ? !previous : !is_plain_vowel(c);
    visit(previous);
  }
}

// Porter's m: how many times a vowel is followed by a consonant.
int measure(std::string_view stem) {
  int m = 0;
  bool previous = true;
  for_each_letter(stem, [&](bool consonant) {
    m += consonant && !previous;
    previous = consonant;
  });
  return m;
}

bool contains_vowel(std::string_view stem) {
  bool found = false;
  for_each_letter(stem, [&](bool consonant) { found = found || !consonant; });
  return found;
}

// Whether each of the last three letters is a consonant, the last letter first; absent ones false.
std::array<bool, 3> last_consonants(std::string_view word) {
  std::array<bool, 3> last{};
  for_each_letter(word, [&](bool consonant) { last = {consonant, last[0], last[1]}; });
  return last;
}

// *d: ends with a double consonant.
bool ends_double_consonant(std::string_view word) {
  return word.size() >= 2 && word.back() == word[word.size() - 2] && last_consonants(word)[0];
}

// *o: ends consonant, vowel, consonant, the last not w, x or y. NLTK adds the two-letter words of
// a vowel and a consonant.
bool ends_cvc(std::string_view word) {
  const auto [last, second, third] = last_consonants(word);
  if (word.size() == 2) return last && !second;
  if (word.size() < 3 || !last || second || !third) return false;
  return word.back() != 'w' && word.back() != 'x' && word.back() != 'y';
}

void replace_suffix(std::string* word, size_t suffix_bytes, std::string_view replacement) {
  word->erase(word->size() - suffix_bytes);
  word->append(replacement);
}

struct Rule {
  std::string_view suffix, replacement;
};

// The first rule whose suffix `word` ends with decides: the suffix is replaced where the rest's
// measure is above `min_measure`, and no other rule is tried. Returns that suffix, or nothing.
std::string_view apply_first(std::span<const Rule> rules, int min_measure, std::string* word) {
  for (const Rule& rule : rules) {
    if (!word->ends_with(rule.suffix)) continue;
    const std::string_view rest(word->data(), word->size() - rule.suffix.size());
    if (measure(rest) > min_measure) replace_suffix(word, rule.suffix.size(), rule.replacement);
    return rule.suffix;
  }
  return {};
}

void step_1a(std::string* word) {
  if (!word->ends_with('s') || word->ends_with("ss")) return;
  if (word->ends_with("ies")) {  // NLTK: dies -> die, but flies -> fli
    replace_suffix(word, word->size() == 4 ? 1 : 2, "");
  } else {
    replace_suffix(word, word->ends_with("sses") ? 2 : 1, "");
  }
}

// After a removed -ed or -ing.
void restore_ending(std::string* word) {
  if (word->ends_with("at") || word->ends_with("bl") || word->ends_with("iz")) {
    word->push_back('e');
  } else if (ends_double_consonant(*word)) {
    const char last = word->back();
    if (last != 'l' && last != 's' && last != 'z') word->pop_back();
  } else if (measure(*word) == 1 && ends_cvc(*word)) {
    word->push_back('e');
  }
}

void step_1b(std::string* word) {
  if (word->ends_with("ied")) {  // NLTK: died -> die, but spied -> spi
    replace_suffix(word, word->size() == 4 ? 1 : 2, "");
    return;
  }
  if (word->ends_with("eed")) {
    if (measure(std::string_view(*word).substr(0, word->size() - 3)) > 0) word->pop_back();
    return;
  }
  const size_t suffix = word->ends_with("ed") ? 2 : word->ends_with("ing") ? 3 : 0;
  if (suffix == 0 || !contains_vowel(std::string_view(*word).substr(0, word->size() - suffix))) {
    return;
  }
  word->erase(word->size() - suffix);
  restore_ending(word);
}

// NLTK: y becomes i after a consonant that is not the whole rest.
void step_1c(std::string* word) {
  if (!word->ends_with('y') || word->size() < 3) return;
  if (last_consonants(*word)[1]) word->back() = 'i';
}

constexpr Rule kStep2[] = {
    {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"}, {"eli", "e"},     {"ousli", "ous"},
    {"ization", "ize"}, {"ation", "ate"},   {"ator", "ate"},  {"alism", "al"},  {"iveness", "ive"},
    {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"}, {"biliti", "ble"},
    {"fulli", "ful"},
};

void step_2(std::string* word) {
  // NLTK: -alli goes first, and what is left passes through this step again.
  while (word->ends_with("alli") &&
         measure(std::string_view(*word).substr(0, word->size() - 4)) > 0) {
    replace_suffix(word, 2, "");
  }
  if (!apply_first(kStep2, 0, word).empty()) return;
  // The l of -logi counts with the stem, so that geo-, theo- work like archaeo-.
  if (word->ends_with("logi") && measure(std::string_view(*word).substr(0, word->size() - 3)) > 0) {
    word->pop_back();
  }
}

constexpr Rule kStep3[] = {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"},
                           {"ical", "ic"},  {"ful", ""},   {"ness", ""}};

constexpr Rule kStep4BeforeIon[] = {{"al", ""},    {"ance", ""}, {"ence", ""}, {"er", ""},
                                    {"ic", ""},    {"able", ""}, {"ible", ""}, {"ant", ""},
                                    {"ement", ""}, {"ment", ""}, {"ent", ""}};
constexpr Rule kStep4AfterIon[] = {{"ou", ""},  {"ism", ""}, {"ate", ""}, {"iti", ""},
                                   {"ous", ""}, {"ive", ""}, {"ize", ""}};

void step_4(std::string* word) {
  if (!apply_first(kStep4BeforeIon, 1, word).empty()) return;
  if (!word->ends_with("ion")) {
    apply_first(kStep4AfterIon, 1, word);
    return;
  }
  const std::string_view rest(word->data(), word->size() - 3);
  if (measure(rest) > 1 && (rest.back() == 's' || rest.back() == 't')) word->erase(rest.size());
}

void step_5(std::string* word) {
  if (word->ends_with('e')) {
    const std::string_view rest(word->data(), word->size() - 1);
    const int m = measure(rest);
    if (m > 1 || (m == 1 && !ends_cvc(rest))) word->pop_back();
  }
  if (word->ends_with("ll") && measure(std::string_view(*word).substr(0, word->size() - 1)) > 1) {
    word->pop_back();
  }
}

// NLTK's irregular forms.
constexpr std::pair<std::string_view, std::string_view> kIrregular[] = {
    {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
    {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
    {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
    {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"},
};

}  // namespace

void porter_stem(std::string* word) {
  const auto irregular = std::find_if(std::begin(kIrregular), std::end(kIrregular),
                                      [&](const auto& entry) { return entry.first == *word; });
  if (irregular != std::end(kIrregular)) {
    *word = irregular->second;
    return;
  }
  if (word->size() <= 2) return;
  step_1a(word);
  step_1b(word);
  step_1c(word);
  step_2(word);
  apply_first(kStep3, 0, word);
  step_4(word);
  step_5(word);
}

}  // namespace skipbench
