// A sweep says before it runs what its metrics cannot score and its beams cannot search.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

std::string chinese_config(const SweepFolder& folder, const std::string& metrics,
                           const std::string& more = "",
                           const std::string& line = "当解码时，模型会跳过一些层。") {
  std::string lines;
  for (int i = 0; i < 12; ++i) lines += line + "\n";
  folder.write("test.zh", lines);
  std::string text = folder.config_text();
  const auto replace = [&](const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
  };
  replace("test.en", "test.zh" + more);
  replace("[{bleu: {tokenize: 13a}}, rouge]", metrics);
  return folder.write_config(text);
}

TEST(TextFit, BleuOfTextsWithoutSpacesIsRefused) {
  const SweepFolder folder;
  const std::string path = chinese_config(folder, "[chrf, bleu]");
  const std::string message = message_of([&] { folder.setup(); });
  EXPECT_NE(message.find(path + ":9: datasets[0].metrics[1]: tokenizer 13a does not split Chinese"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("expected zh or char, got 13a"), std::string::npos) << message;
  chinese_config(folder, "[bleu]", "\n    language: en");
  EXPECT_TRUE(folder.setup().warnings.empty());
  chinese_config(folder, "[{bleu: {tokenize: zh}}]");
  EXPECT_TRUE(folder.setup().warnings.empty());
}

TEST(TextFit, ALanguageThatIsGivenDecides) {
  const SweepFolder folder;
  std::string text = folder.config_text();
  text.replace(text.find("{bleu: {tokenize: 13a}}"), 23, "bleu");
  text.replace(text.find("    limit: 7"), 12, "    limit: 7\n    language: de-ja");
  folder.write_config(text);
  const std::string message = message_of([&] { folder.setup(); });
  EXPECT_NE(message.find("text in language de-ja; expected char"), std::string::npos) << message;
}

TEST(TextFit, SegmentedReferencesAskForSegmentedOutputs) {
  const SweepFolder folder;
  const std::string segmented = "当 解码 时 ， 模型 会 跳过 一些 层 。";
  chinese_config(folder, "[bleu, chrf, {bleu: {tokenize: zh}}]", "", segmented);
  const auto warnings = folder.setup().warnings;
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("dataset 'de-en': bleu: the references have blanks between their "
                             "Chinese words, and the outputs must have them too: tokenizer 13a"),
            std::string::npos)
      << warnings[0];
  chinese_config(folder, "[bleu]", "\n    language: en", segmented);
  EXPECT_TRUE(folder.setup().warnings.empty());
}

TEST(TextFit, WhatIsForcedIsWarnedOf) {
  const SweepFolder folder;
  chinese_config(folder, "[{bleu: {tokenize: 13a}}, rouge]");
  std::ostringstream log;
  folder.run("forced.db", {"strategies=[full]", "timing.repetitions=0"}, {.log = &log});
  const std::string text = log.str();
  EXPECT_EQ(text.find("warning: dataset 'de-en': bleu: tokenizer 13a does not split Chinese"), 0u)
      << text;
  EXPECT_NE(text.find("warning: dataset 'de-en': rouge: 7 of 7 references"), std::string::npos)
      << text;
}

TEST(Beams, MoreThanTheVocabularyHasContinuationsForAreRefusedAtOnce) {
  const SweepFolder folder;
  nlohmann::json model = nlohmann::json::parse(std::ifstream(folder.path("model.json")));
  model["eos_token_id"] = {1, 2, 3, 256};
  folder.write("model.json", model.dump());
  const std::vector<std::string> most = {"decoding.beams=51", "strategies=[full]"};
  folder.setup(most);
  folder.write_config(folder.config_text().replace(folder.config_text().find("tokens: 9"), 9,
                                                   "tokens: 9, beams: 52"));
  const std::string message = message_of([&] { folder.setup(); });
  EXPECT_NE(message.find(":10: decoding.beams: more beams than"), std::string::npos) << message;
  EXPECT_NE(message.find("at most 51 (257 tokens, 5 of them kept for each beam), got 52"),
            std::string::npos)
      << message;
}

}  // namespace
}  // namespace skipbench
