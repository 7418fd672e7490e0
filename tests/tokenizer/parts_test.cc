// The parts under the tokenizers: UTF-8, byte-level characters, expressions, merging.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "engine/base/error.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/merge.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/utf8.h"
#include "tests/tokenizer/fixtures.h"

namespace skipbench {
namespace {

TEST(Utf8, EveryScalarValueComesBackAndNothingElseIsValid) {
  for (char32_t c = 0; c < 0x110100; ++c) {
    std::string bytes;
    append_utf8(c, &bytes);
    const bool scalar = c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
    const Utf8Character read = first_character(bytes);
    ASSERT_EQ(read.bytes > 0, scalar) << static_cast<uint32_t>(c);
    if (scalar) {
      ASSERT_EQ(read.code_point, c);
      ASSERT_FALSE(is_valid_utf8(bytes.substr(0, bytes.size() - 1)) && bytes.size() > 1);
    }
  }
  for (const char* overlong : {"\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF"}) {
    EXPECT_EQ(first_character(overlong).bytes, 0);
  }
}

TEST(Utf8, RunsCoverTheTextAndAlternate) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const std::string bytes = random_bytes(&random, 30);
    std::string joined;
    int last = -1;
    for_each_utf8_run(bytes, [&](std::string_view run, bool valid) {
      EXPECT_NE(last, static_cast<int>(valid));
      EXPECT_EQ(is_valid_utf8(run), valid);
      last = valid;
      joined += run;
    });
    EXPECT_EQ(joined, bytes);
  }
}

TEST(Utf8, Nfc) {
  EXPECT_EQ(normalize_nfc("e\u0301"), "\u00E9");
  EXPECT_EQ(normalize_nfc("\u212B"), "\u00C5");
  EXPECT_EQ(normalize_nfc("\u1112\u1161\u11AB"), "\uD55C");
  EXPECT_EQ(normalize_nfc("q\u0307\u0323"), "q\u0323\u0307");
  EXPECT_EQ(normalize_nfc(std::string("a\0e\u0301", 5)), std::string("a\0\u00E9", 4));
  EXPECT_EQ(normalize_nfc("\uFB01"), "\uFB01");  // a compatibility character stays
}

TEST(ByteLevel, IsABijectionOntoPrintableCharacters) {
  std::set<char32_t> characters;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t c = byte_level_character(static_cast<uint8_t>(byte));
    EXPECT_EQ(byte_level_byte(c), byte);
    EXPECT_FALSE(is_white_space(c));
    characters.insert(c);
  }
  EXPECT_EQ(characters.size(), 256u);
  EXPECT_EQ(byte_level_encode(" \n"), "\u0120\u010A");
  EXPECT_EQ(byte_level_decode("a b"), "a b");  // a blank stands for nothing: an added token
}

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  std::vector<std::string> found;
  Regex(pattern, "test").for_each_match(text, [&](size_t begin, size_t end) {
    found.push_back(text.substr(begin, end - begin));
  });
  return found;
}

TEST(Regex, MeansWhatOnigurumaMeans) {
  using Found = std::vector<std::string>;
  EXPECT_EQ(matches("\\s+", "a\u0085b\u180Ec\u3000d"), (Found{"\u0085", "\u3000"}));
  EXPECT_EQ(matches("\\w+", "e\u0301\u203Fx y"), (Found{"e\u0301\u203Fx", "y"}));
  EXPECT_EQ(matches("[^(\\s|[.,])]+", "ab.c|d,(e"), (Found{"ab", "c", "d", "e"}));
  EXPECT_EQ(matches("(?i:'s)", "'S'\u017F"), (Found{"'S", "'\u017F"}));
  EXPECT_EQ(matches("\\s+$", "a \nb  "), (Found{" ", "  "}));
  EXPECT_EQ(matches("\\p{N}{1,3}", "1234\u0665\u00BD"), (Found{"123", "4\u0665\u00BD"}));
  EXPECT_EQ(matches("[\\w]+|[^\\S]", "a b"), (Found{"a", " ", "b"}));
  EXPECT_EQ(matches("x*", "ax"), (Found{"x"}));  // empty matches are none
}

// Instead of trying its 2^80 ways.
TEST(Regex, ThatWouldNotEndIsAnError) {
  try {
    matches("(a|aa)+$", std::string(80, 'a') + "b");
    FAIL() << "no error";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find("test: regular expression failed on 81 bytes; got match limit"), 0u)
        << message;
    EXPECT_NE(message.find("a repeat within a repeat"), std::string::npos) << message;
  }
}

TEST(Regex, RefusesWhatItCannotTranslate) {
  for (const char* pattern : {"(", "[a", "\\h", "[a&&b]", "[a[^b]]", "[\\W]", "a{2,1}", "\\u12"}) {
    EXPECT_THROW(Regex(pattern, "here"), Error) << pattern;
  }
}

TEST(Split, Behaviors) {
  using Words = std::vector<std::string>;
  const auto split = [](SplitBehavior behavior, bool invert) {
    std::vector<PreTokenizer::Step> steps;
    steps.emplace_back(SplitStep{Regex("-", "test"), behavior, invert});
    return PreTokenizer(std::move(steps)).split("-a--b", true);
  };
  EXPECT_EQ(split(SplitBehavior::kIsolated, false), (Words{"-", "a", "-", "-", "b"}));
  EXPECT_EQ(split(SplitBehavior::kRemoved, false), (Words{"a", "b"}));
  EXPECT_EQ(split(SplitBehavior::kRemoved, true), (Words{"-", "-", "-"}));
  EXPECT_EQ(split(SplitBehavior::kContiguous, false), (Words{"-", "a", "--", "b"}));
  EXPECT_EQ(split(SplitBehavior::kMergedWithPrevious, false), (Words{"-", "a-", "-", "b"}));
  EXPECT_EQ(split(SplitBehavior::kMergedWithNext, false), (Words{"-a", "-", "-b"}));
}

TEST(NamedPreTokenizer, EveryNameCutsTextsWithoutLosingAnything) {
  for (const char* name : {"gpt-2", "phi-2", "olmo", "mpt", "smollm", "starcoder", "refact",
                           "command-r", "falcon", "llama-bpe", "llama3", "llama-v3", "qwen2",
                           "qwen35", "bloom", "deepseek-llm", "deepseek-coder"}) {
    const NamedPreTokenizer named = named_pre_tokenizer(name, "test");
    EXPECT_TRUE(named.pre_tokenizer.byte_level()) << name;
    for (const std::string& text : expected_texts()) {
      std::string joined;
      for (const std::string& word : named.pre_tokenizer.split(text, true)) {
        EXPECT_FALSE(word.empty());
        joined += byte_level_decode(word);
      }
      EXPECT_EQ(joined, text) << name;
    }
  }
  EXPECT_THROW(named_pre_tokenizer("gpt2", "test"), Error);
}

std::vector<std::string> words(std::string_view name, std::string_view text) {
  std::vector<std::string> out;
  for (const std::string& word :
       named_pre_tokenizer(name, "test").pre_tokenizer.split(text, true)) {
    out.push_back(byte_level_decode(word));
  }
  return out;
}

// The kinds that are no fixtures; what Hugging Face's pre-tokenizers make of these texts.
TEST(NamedPreTokenizer, WordsOfTheOtherKinds) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(words("deepseek-llm", "Ab\u00DF \u0416x, 12\u4F60\u597D\u3002 \n ?"),
            (Words{"Ab", "\u00DF", " \u0416", "x", ",", " ", "12", "\u4F60\u597D", "\u3002", " ",
                   "\n", " ?"}));
  EXPECT_EQ(words("qwen35", "e\u0301a 12'S"), (Words{"e\u0301a", " ", "1", "2", "'S"}));
}

// Words over four letters; pair (a, b) merges with a rank of its own, if at all.
TEST(Merge, EqualsScanningForTheBestPairEachTime) {
  using Pair = std::pair<int32_t, int32_t>;
  std::mt19937 random(17);
  for (int round = 0; round < 300; ++round) {
    std::map<Pair, Merge> table;
    int32_t next_id = 4;
    for (int i = 0; i < 25; ++i) {
      const Pair pair(random() % next_id, random() % next_id);
      table.try_emplace(pair, Merge{static_cast<double>(random() % 12), next_id});
      ++next_id;
    }
    const auto find = [&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
      const auto entry = table.find({left.id, right.id});
      return entry == table.end() ? std::nullopt : std::optional(entry->second);
    };
    std::vector<Symbol> symbols;
    for (uint32_t i = 0, count = random() % 60; i < count; ++i) {
      symbols.push_back({static_cast<int32_t>(random() % 4), i, i + 1});
    }
    std::vector<Symbol> want = symbols;
    while (true) {
      size_t best = want.size();
      double priority = 0;
      for (size_t i = 0; i + 1 < want.size(); ++i) {
        const auto merge = find(want[i], want[i + 1]);
        if (merge && (best == want.size() || merge->priority < priority)) {
          best = i;
          priority = merge->priority;
        }
      }
      if (best == want.size()) break;
      want[best] = {find(want[best], want[best + 1])->id, want[best].begin, want[best + 1].end};
      want.erase(want.begin() + static_cast<int64_t>(best) + 1);
    }
    merge_symbols(&symbols, find);
    ASSERT_EQ(symbols.size(), want.size()) << "round " << round;
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_EQ(symbols[i].id, want[i].id);
      EXPECT_EQ(symbols[i].begin, want[i].begin);
      EXPECT_EQ(symbols[i].end, want[i].end);
    }
  }
}

}  // namespace
}  // namespace skipbench
