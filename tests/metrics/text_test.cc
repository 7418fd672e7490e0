// Unicode facts, tokenizers and the stemmer against what Python said (fixtures/metrics.json, made
// by make_metric_fixtures.py, and ../shared/data).
#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "eval/metrics/porter.h"
#include "eval/metrics/rouge.h"
#include "eval/metrics/tokenize.h"
#include "eval/metrics/unicode.h"
#include "tests/metrics/test_data.h"

namespace skipbench {
namespace {

std::vector<std::string> tokens_of(std::string_view tokenizer, std::string_view line) {
  TokenList list;
  find_tokenizer(tokenizer)(rstrip(line), &list);
  return {list.tokens.begin(), list.tokens.end()};
}

std::vector<std::string> split(const std::string& text) { return tokens_of("none", text); }

std::string stemmed(std::string word) {
  porter_stem(&word);
  return word;
}

TEST(Unicode, DecodesWhatItEncodes) {
  for (char32_t c = 1; c < 0x110000; c += c < 0x3000 ? 1 : 97) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(c, &text);
    size_t at = 0;
    EXPECT_EQ(next_code_point(text, &at), c);
    EXPECT_EQ(at, text.size());
    EXPECT_EQ(find_invalid_utf8(text), std::string::npos) << std::hex << static_cast<uint32_t>(c);
  }
}

// Expected: len(bytes.decode(errors="replace")) in Python.
TEST(Unicode, InvalidBytesBecomeReplacementCharacters) {
  const std::pair<std::string, size_t> cases[] = {
      {"\xC0\x80", 2},
      {"\xE0\x80\x80", 3},
      {"\xED\xA0\x80", 3},
      {"\xF4\x90\x80\x80", 4},
      {"\xF0\x9F\x98", 1},
      {"\xE4\xB8", 1},
      {"\x80", 1},
      {"\xFF", 1},
      {"\xE4\xB8\xE4\xB8", 2},
      {"\xF0\x9F"
       "a",
       2},
      {"\xC3", 1},
  };
  for (const auto& [text, expected] : cases) {
    size_t at = 0, characters = 0;
    for (; at < text.size(); ++characters) next_code_point(text, &at);
    EXPECT_EQ(characters, expected) << testing::PrintToString(text);
    EXPECT_EQ(at, text.size());
    EXPECT_EQ(find_invalid_utf8("ok\uFFFD" + text), 5u);
    for (const TokenizerEntry& tokenizer : tokenizer_table()) {
      tokens_of(tokenizer.name, text + ". " + text);
    }
    lower("\u03A3" + text + "\u03A3");
    rouge_tokens(text, true);
    EXPECT_EQ(rstrip(text + " "), text);
  }
}

TEST(Unicode, StripsWhatPythonCallsSpace) {
  EXPECT_EQ(strip(" \t\u00A0\u2028\u3000a b\u0085\u2009\x1C\n"), "a b");
  EXPECT_EQ(rstrip("a\u200B\u00AD\u2060\uFEFF"), "a\u200B\u00AD\u2060\uFEFF");
  EXPECT_EQ(strip(" \u1680\u205F\u202F"), "");
}

TEST(Unicode, LowersAsPython) {
  for (const auto& entry : metric_fixtures()["tokens"]) {
    const std::string text = entry["text"];
    EXPECT_EQ(lower(text), entry["lower"].get<std::string>()) << entry["text"];
  }
  EXPECT_EQ(lower("ΟΔΟΣ ΣΑΣ. Σ AΣ'Σ"), "οδος σας. σ aσ'ς");
}

TEST(Tokenize, EqualsSacrebleuOnMadeUpText) {
  int compared = 0;
  for (const auto& entry : metric_fixtures()["tokens"]) {
    for (const auto& [tokenizer, expected] : entry["tokens"].items()) {
      const auto tokens = tokens_of(tokenizer, entry["text"].get<std::string>());
      ASSERT_EQ(tokens, expected.get<std::vector<std::string>>()) << tokenizer << entry["text"];
      ++compared;
    }
  }
  EXPECT_GT(compared, 1000);
}

// The two slips in sacreBLEU's ranges: see tokenize_zh.cc.
TEST(Tokenize, ChineseRangesAsSacrebleuHasThem) {
  EXPECT_EQ(tokens_of("zh", "a\u201Cb\u2014c"), split("a \u201C b \u2014 c"));
  EXPECT_EQ(tokens_of("zh", "\U00020000\U0002A6D6"), split("\U00020000\U0002A6D6"));
  EXPECT_EQ(tokens_of("zh", "x\u2A6Dy\u2A6Ez"), split("x \u2A6D y\u2A6Ez"));
}

TEST(Tokenize, UnknownNameListsTheKnownOnes) {
  try {
    find_tokenizer("13b", "metrics[0].bleu.tokenize");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("metrics[0].bleu.tokenize"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("13a, "), std::string::npos) << error.what();
  }
}

TEST(Tokenize, EqualsSacrebleuOnSharedText) {
  if (!have_shared_data()) GTEST_SKIP() << "../shared/data is not there";
  const auto small = read_test_json(shared_data("tests-small/small_scores.json"));
  for (const auto& entry : small["edge"]) {
    const std::string text = entry["text"];
    for (const TokenizerEntry& tokenizer : tokenizer_table()) {
      const std::string expected = entry["bleu_" + std::string(tokenizer.name)];
      EXPECT_EQ(tokens_of(tokenizer.name, text), split(expected)) << tokenizer.name << text;
    }
    EXPECT_EQ(rouge_tokens(text, false), entry["rouge_tokens"].get<std::vector<std::string>>());
    EXPECT_EQ(rouge_tokens(text, true), entry["rouge_stems"].get<std::vector<std::string>>());
  }
}

TEST(Porter, EqualsNltkOnMadeUpWords) {
  for (const auto& pair : metric_fixtures()["stems"]) {
    EXPECT_EQ(stemmed(pair[0]), pair[1].get<std::string>()) << pair[0];
  }
}

TEST(Porter, EqualsNltkOnSharedWords) {
  if (!have_shared_data()) GTEST_SKIP() << "../shared/data is not there";
  size_t words = 0;
  for (const std::string& line : read_test_lines(shared_data("scores/porter_stems.tsv.gz"))) {
    const size_t tab = line.find('\t');
    ASSERT_NE(tab, std::string::npos);
    ASSERT_EQ(stemmed(line.substr(0, tab)), line.substr(tab + 1)) << line;
    ++words;
  }
  EXPECT_EQ(words, 71839u);
}

}  // namespace
}  // namespace skipbench
