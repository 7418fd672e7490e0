// What holds of every tokenizer: round trips, segments, long lines.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "engine/base/error.h"
#include "engine/tokenizer/utf8.h"
#include "tests/tokenizer/fixtures.h"

namespace skipbench {
namespace {

using Ids = std::vector<int32_t>;

// Those whose vocabulary has all 256 bytes.
const std::vector<std::string> kByteLevel{"gpt2",      "llama3",     "bloom",      "falcon",
                                          "gpt2.gguf", "bloom.gguf", "llama3.gguf"};

TEST(RoundTrip, AnyBytesThroughByteLevelBpe) {
  std::mt19937 random(3);
  for (const std::string& name : kByteLevel) {
    const auto tokenizer = load_tokenizer(tokenizer_fixture(name));
    for (int i = 0; i < 400; ++i) {
      const std::string bytes = random_bytes(&random, 40);
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes), false), bytes) << name;
    }
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(all), false), all) << name;
  }
}

TEST(RoundTrip, NormalisedTextThroughQwen2) {
  std::mt19937 random(5);
  const auto tokenizer = load_tokenizer(tokenizer_fixture("qwen2"));
  for (int i = 0; i < 400; ++i) {
    const std::string bytes = random_bytes(&random, 40);
    std::string composed;
    for_each_utf8_run(bytes, [&composed](std::string_view run, bool valid) {
      composed += valid ? normalize_nfc(run) : std::string(run);
    });
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes), false), composed);
  }
}

TEST(RoundTrip, RealLines) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(SKIPBENCH_SHARED_DIR) / "data/tests-small/mt";
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is absent";
  const auto bpe = load_tokenizer(tokenizer_fixture("llama3"));
  const auto spm = load_tokenizer(tokenizer_fixture("spm-bpe.gguf"));
  size_t lines = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line); ++lines) {
      EXPECT_EQ(bpe->decode(bpe->encode(line), false), line);
      EXPECT_EQ(spm->decode(spm->encode(line), false), line);
    }
  }
  EXPECT_GT(lines, 1000u);
}

TEST(Decode, ByteTokensGiveTheirBytesUnchanged) {
  const auto tokenizer = load_tokenizer(tokenizer_fixture("spm-bpe.gguf"));
  const Ids euro = tokenizer->encode("\u20AC");  // not in the vocabulary: blank, then three bytes
  ASSERT_GE(euro.size(), 3u);
  EXPECT_EQ(tokenizer->decode(Ids{euro.back()}, false), "\xAC");
}

TEST(Decode, RefusesIdsOutsideTheVocabulary) {
  const auto tokenizer = load_tokenizer(tokenizer_fixture("gpt2"));
  EXPECT_THROW(tokenizer->decode(Ids{-1}, false), Error);
  EXPECT_THROW(tokenizer->decode(Ids{tokenizer->vocab_size()}, false), Error);
  EXPECT_NO_THROW(tokenizer->decode(Ids{tokenizer->vocab_size() - 1}, false));
}

TEST(Decode, SkipsSpecialTokensWhenAsked) {
  const auto tokenizer = load_tokenizer(tokenizer_fixture("smollm"));
  const Ids ids = encode_as(*tokenizer, "<|im_start|>user\nHi<|im_end|>", true);
  EXPECT_EQ(tokenizer->decode(ids, false), "<|im_start|>user\nHi<|im_end|>");
  EXPECT_EQ(tokenizer->decode(ids, true), "user\nHi");
}

TEST(Segments, TextBetweenSpecialTokensIsTokenisedAsOne) {
  for (const char* name : {"smollm", "smollm.gguf", "llama3", "bloom", "qwen2"}) {
    const auto tokenizer = load_tokenizer(tokenizer_fixture(name));
    const std::vector<TextSegment> segments{{"<|im_start|>user\nTranslate: Gr", true},
                                            {"\u00F6\u00DFe  <|im_end|> ", false},
                                            {"", false},
                                            {" end", true},
                                            {"<|im_end|>", true},
                                            {"<|im_start|>", false}};
    Ids want{1};
    const auto append = [&](const std::string& text) {
      const Ids ids = tokenizer->encode(text);
      want.insert(want.end(), ids.begin(), ids.end());
    };
    append("user\nTranslate: Gr\u00F6\u00DFe  <|im_end|>  end");
    want.push_back(2);
    append("<|im_start|>");
    EXPECT_EQ(tokenizer->encode(segments, false), want) << name;
  }
}

TEST(Segments, ASpecialTokenMustLieWhollyInTemplateText) {
  const auto tokenizer = load_tokenizer(tokenizer_fixture("gpt2"));
  const std::vector<TextSegment> across_data{{"<|im_", true}, {"end", false}, {"|>", true}};
  EXPECT_EQ(tokenizer->encode(across_data, false), tokenizer->encode("<|im_end|>"));
  const std::vector<TextSegment> across_templates{{"<|im_", true}, {"end|>", true}};
  EXPECT_EQ(tokenizer->encode(across_templates, false), Ids{2});
}

TEST(Segments, AnInvalidSequenceMayBeCompletedByTheNextSegment) {
  const auto tokenizer = load_tokenizer(tokenizer_fixture("gpt2"));
  const std::vector<TextSegment> segments{{"\xE4\xBD", true}, {"\xA0", false}};
  EXPECT_EQ(tokenizer->encode(segments, false), tokenizer->encode("\u4F60"));
}

// Quadratic merging would take minutes on these under any build.
TEST(LongLine, IsMergedInReasonableTime) {
  std::mt19937 random(11);
  std::string letters;
  while (letters.size() < 400'000) letters.push_back(static_cast<char>('a' + random() % 26));
  const std::string blanks(400'000, ' ');
  const auto begin = std::chrono::steady_clock::now();
  for (const char* name : {"gpt2", "llama3", "deepseek-coder", "spm-bpe.gguf", "llama-json"}) {
    const auto tokenizer = load_tokenizer(tokenizer_fixture(name));
    for (const std::string& text : {letters, blanks + "x", std::string(400'000, '\xFF')}) {
      const std::string want =
          std::string(name).find("-") == std::string::npos || std::string(name) == "deepseek-coder"
              ? text
              : replace_invalid_utf8(text);
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(text), false), want) << name;
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(seconds.count(), 120);
}

}  // namespace
}  // namespace skipbench
