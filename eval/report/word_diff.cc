#include "eval/report/word_diff.h"

#include <cstdint>
#include <map>

#include "engine/base/utf8.h"
#include "eval/metrics/lcs.h"

namespace skipbench {
namespace {

struct Word {
  std::string_view word;   // empty for leading space
  std::string_view space;  // after it
};

std::vector<Word> words_of(std::string_view text) {
  std::vector<Word> words;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    while (at < text.size() && space_bytes(text.substr(at)) == 0) next_code_point(text, &at);
    const size_t end = at;
    while (at < text.size() && space_bytes(text.substr(at)) > 0) {
      at += space_bytes(text.substr(at));
    }
    words.push_back({text.substr(begin, end - begin), text.substr(end, at - end)});
  }
  return words;
}

}  // namespace

std::vector<TextPiece> word_differences(std::string_view text, std::string_view other) {
  std::map<std::string_view, uint32_t> ids;
  const auto ids_of = [&](const std::vector<Word>& words) {
    std::vector<uint32_t> list;
    for (const Word& word : words) {
      list.push_back(ids.emplace(word.word, static_cast<uint32_t>(ids.size())).first->second);
    }
    return list;
  };
  const std::vector<Word> words = words_of(text);
  const std::vector<uint32_t> rows = ids_of(words), columns = ids_of(words_of(other));
  std::vector<bool> same(words.size(), false);
  if (!rows.empty() && !columns.empty()) {
    LcsFinder().mark(rows, columns, static_cast<uint32_t>(ids.size()), &same);
  }
  std::vector<TextPiece> pieces;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool differs = !same[i] && !words[i].word.empty();
    if (pieces.empty() || pieces.back().differs != differs) pieces.push_back({"", differs});
    pieces.back().text += words[i].word;
    pieces.back().text += words[i].space;
  }
  return pieces;
}

}  // namespace skipbench
